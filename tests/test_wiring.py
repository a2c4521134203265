"""What is built from settings."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import ValidationError
from solders.keypair import Keypair
from structlog.testing import capture_logs

from chain.addresses import EscrowAddresses
from chain.keys import KeyFileRefused, KeypairSigner
from chain.localnet.genesis import PROGRAM_ID
from cli.door import NotDone, token_of
from core.nav_alerts import DEFAULT_LIMITS, AlertLimits
from core.quantities import SECOND, Nanos
from core.risk_template import RiskTemplate, VenueLimits
from core.vault_risk import NotRules
from endings import sentence
from places import public_rpc_url
from serving import operators
from settings import Settings
from vault_terms import alert_limits, operator_template
from wiring import escrow_client, operator_signer


def test_operators_have_the_names_of_their_files(tmp_path):
    settings = Settings(perpdex_data=tmp_path, operator_token="n" * 32)
    assert operators(settings) == {"operator": "n" * 32}
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    (people / "ada.token").touch(mode=0o600)
    (people / "ada.token").write_text("a" * 32 + "\n")
    (people / "notes.txt").write_text("nobody's")
    assert operators(settings) == {"operator": "n" * 32, "ada": "a" * 32}


@pytest.mark.parametrize(
    ("name", "token"), [("operator", "a" * 32), ("exchange", "a" * 32), ("ada", "a" * 31), ("ada", "n" * 32)]
)
def test_a_credential_that_leaves_open_who_it_was_is_refused(tmp_path, name, token):
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    (people / f"{name}.token").touch(mode=0o600)
    (people / f"{name}.token").write_text(token)
    with pytest.raises(KeyFileRefused, match=f"{name}.token"):
        operators(Settings(perpdex_data=tmp_path, operator_token="n" * 32))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_or_write_is_left_out_by_the_api_and_refused_by_commands(tmp_path, mode):
    settings = Settings(perpdex_data=tmp_path, operator_token="n" * 32)
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    path = people / "ada.token"
    path.touch(mode=0o600)
    path.write_text("a" * 32)
    assert token_of(settings, "ada") == operators(settings)["ada"] == "a" * 32
    (people / "bob.token").touch(mode=0o600)
    (people / "bob.token").write_text("b" * 32)
    path.chmod(mode)
    with capture_logs() as told:
        assert operators(settings) == {"operator": "n" * 32, "bob": "b" * 32}
    assert [(one["log_level"], one["name"], one["then"]) for one in told] == [
        ("error", "ada", "restart the API")
    ]
    assert f"run: chmod 600 {path}" in told[0]["why"]
    with pytest.raises(NotDone, match=f"chmod 600 {path}"):
        token_of(settings, "ada")
    with pytest.raises(NotDone, match="is PERPDEX_DATA the network's"):
        token_of(settings, "eve")


def test_the_networks_own_token_that_others_can_read_ends_the_start(tmp_path):
    settings = Settings(perpdex_data=tmp_path)
    assert operators(settings)["operator"] == token_of(settings, "operator")
    (tmp_path / "keys" / "operator.token").chmod(0o644)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        operators(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away, and read it then")
def test_what_is_another_users_root_asks_with_and_the_api_leaves_out(tmp_path):
    settings = Settings(perpdex_data=tmp_path, operator_token="n" * 32)
    people = tmp_path / "keys" / "operators"
    people.mkdir(parents=True)
    path = people / "ada.token"
    path.touch(mode=0o600)
    path.write_text("a" * 32)
    os.chown(path, 12_345, -1)
    assert token_of(settings, "ada") == "a" * 32
    with capture_logs() as told:
        assert operators(settings) == {"operator": "n" * 32}
    assert f"run: chown 0 {path}" in told[0]["why"]
    path.chmod(0o644)
    with pytest.raises(NotDone) as refused:
        token_of(settings, "ada")
    assert str(refused.value) == f"{path} is open to others (mode 644); run: chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as somebody else")
def test_a_persons_file_that_the_api_may_not_open_is_left_out():
    # Not below pytest's own folder, which is root's alone.
    with TemporaryDirectory() as folder:
        people = Path(folder) / "keys" / "operators"
        people.mkdir(parents=True)
        path = people / "ada.token"
        path.touch(mode=0o600)
        path.write_text("a" * 32)
        for one in (Path(folder), people.parent, people):
            one.chmod(0o755)
        os.seteuid(12_345)
        try:
            with capture_logs() as told:
                named = operators(Settings(perpdex_data=Path(folder), operator_token="n" * 32))
        finally:
            os.seteuid(0)
    assert named == {"operator": "n" * 32}
    assert told[0]["why"].endswith(f"run: chown 12345 {path}")
    assert told[0]["then"] == "restart the API"


def test_a_token_of_the_network_that_is_too_short_is_refused(tmp_path):
    assert operators(Settings(perpdex_data=tmp_path, operator_token="n" * 32))
    with pytest.raises(KeyFileRefused, match="fewer than 32 characters"):
        operators(Settings(perpdex_data=tmp_path, operator_token="n" * 31))


async def test_the_operators_key_is_made_in_its_place_and_nowhere_else(tmp_path):
    async with operator_signer(Settings(perpdex_data=tmp_path)) as operator:
        made = KeypairSigner.load(tmp_path / "keys" / "operator.json")
        assert operator.pubkey == made.pubkey
    named = f"file:{tmp_path}/elsewhere.json"
    with pytest.raises(KeyFileRefused, match="is not there"):
        async with operator_signer(Settings(perpdex_data=tmp_path, operator_key=named)):
            pass
    assert not (tmp_path / "elsewhere.json").exists()


async def test_the_escrow_is_its_admins_whoever_operates_it(tmp_path):
    """With the admin known no private key is opened: there is none at all here."""
    admin = Keypair().pubkey()
    settings = Settings(perpdex_data=tmp_path, escrow_admin=str(admin), operator_key="vault:nowhere/operator")
    escrow = await escrow_client(settings)
    await escrow.client.close()
    assert escrow.addresses.escrow == EscrowAddresses(PROGRAM_ID, admin).escrow
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "wss://it:99999/ws",
        "wss://it:0/ws",
        "wss://it:door/ws",
        "wss://[::1/ws",
        "wss://",
        "https://it/ws",
        "it",
    ],
)
def test_a_websocket_that_leads_nowhere_is_not_announced(url):
    with pytest.raises(ValidationError, match="public_websocket_url"):
        Settings(public_websocket_url=url)


@pytest.mark.parametrize(
    "url", ["", "wss://exchange.example", "wss://exchange.example:8443/ws", "ws://[::1]:8081/ws"]
)
def test_a_websocket_that_leads_somewhere_is_announced(url):
    assert Settings(public_websocket_url=url).public_websocket_url == url


def test_the_operators_template_is_read_from_its_file(tmp_path):
    file = tmp_path / "template.json"
    settings = Settings(exec_allowed_venues="hyper, mock_gold", exec_risk_template=file)
    file.write_text('{"allowedVenues": "hyper", "perVenue": {"hyper": {"maxLeverage": 5}}}')
    assert operator_template(settings) == RiskTemplate(
        frozenset({"hyper"}), None, {"hyper": VenueLimits(max_leverage=5)}
    )
    # To leave a venue out of those that are allowed does not ask for another template.
    file.write_text('{"perVenue": {"polymarket": {"maxLeverage": 1}}}')
    assert operator_template(settings).limits("polymarket") == VenueLimits(max_leverage=1)
    everything = operator_template(Settings(exec_allowed_venues="hyper, mock_gold"))
    assert everything == RiskTemplate(frozenset({"hyper", "mock_gold"}), None, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"allowedVenues": "agents"}',
        '{"venues": "hyper"}',
        '{"perVenue": {"hiper": {"maxLeverage": 5}}}',
    ],
)
def test_a_template_that_cannot_be_meant_is_a_sentence_that_names_its_setting(tmp_path, text):
    file = tmp_path / "template.json"
    file.write_text(text)
    with pytest.raises(NotRules) as refused:
        operator_template(Settings(exec_allowed_venues="hyper", exec_risk_template=file))
    assert str(sentence(refused.value)).startswith("EXEC_RISK_TEMPLATE is no risk template: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("BTC-PERP=nowhere", "'nowhere' is no address"),
        ("DOGE-PERP=FsJ3A3u2vn5cTVofAjvy6y5kwABJAqYWpe4975bi2epH", "there is no market 'DOGE-PERP'"),
        ("BTC-PERP", "'' is no address"),
    ],
)
def test_price_accounts_are_of_markets_and_have_addresses(monkeypatch, given, said):
    monkeypatch.setenv("PYTH_PRICE_ACCOUNTS", given)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert said in sentence(refused.value)
    key = "FsJ3A3u2vn5cTVofAjvy6y5kwABJAqYWpe4975bi2epH"
    monkeypatch.setenv("PYTH_PRICE_ACCOUNTS", f"BTC-PERP={key}, SOL-PERP={key}")
    assert Settings().older_price_accounts == {"BTC-PERP": key, "SOL-PERP": key}


def test_the_operator_sets_when_alerts_of_vaults_are_said():
    assert alert_limits(Settings()) == DEFAULT_LIMITS
    chosen = Settings(nav_stale_leg_s=86_400, nav_jump_ppm=1_000_000, nav_drawdown_ppm=1)
    assert alert_limits(chosen) == AlertLimits(Nanos(86_400 * SECOND), 1_000_000, 1)
    for beyond in (
        {"nav_stale_leg_s": 0},
        {"nav_stale_leg_s": 86_401},
        {"nav_jump_ppm": 0},
        {"nav_jump_ppm": 1_000_001},
        {"nav_drawdown_ppm": 0},
        {"nav_drawdown_ppm": 1_000_001},
    ):
        with pytest.raises(ValidationError):
            Settings(**beyond)


PROVIDER = "https://node.example/v2/key?api-key=key"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "http://127.0.0.1:8899"),
        ({"rpc_port": 9}, "http://127.0.0.1:9"),
        ({"solana_rpc_url": "http://10.0.0.1:8899"}, "http://10.0.0.1:8899"),
        ({"solana_rpc_url": "http://10.0.0.1:8899/"}, "http://10.0.0.1:8899/"),
        ({"solana_rpc_url": PROVIDER}, ""),
        ({"solana_rpc_url": "http://user:key@10.0.0.1:8899"}, ""),
        ({"solana_rpc_url": PROVIDER, "solana_cluster": "mainnet"}, ""),
        ({"solana_rpc_url": "https://key.node.example", "solana_cluster": "devnet"}, ""),
        ({"solana_rpc_url": PROVIDER, "public_rpc_url": "https://open.example"}, "https://open.example"),
    ],
)
def test_agents_are_told_of_no_node_that_a_key_may_be_in(given, told):
    assert public_rpc_url(Settings(**given)) == told


def test_the_node_that_everybody_is_told_of_is_not_the_exchanges_own():
    with pytest.raises(ValidationError, match="is published"):
        Settings(solana_rpc_url=PROVIDER, public_rpc_url=PROVIDER)
