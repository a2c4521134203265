"""`perpdex vault` and `perpdex nav` against a running exchange."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.tickets import leg_from, price_from, size_from
from ledger.nav import NavPrice, NavSnapshots
from ledger.venue_fills import TakenFill, VenueFills, unpriced_words
from perpdex_sdk.errors import Refused
from perpdex_sdk.manager import Manager, signed_in
from perpdex_sdk.manager_answers import RiskRules, VenueLimits

FILE = {
    "vault-1": {"cash": 1_000_000, "positions": {"ETH": 1.5, "synthetix::XAU": -0.8, "mock_gold::XAU": 2.0}}
}


@pytest.fixture
def perpdex(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command as an operator at a terminal does."""
    monkeypatch.setenv("API_URL", exchange.server.http_url)
    monkeypatch.setenv("OPERATOR_TOKEN", "operator-token-of-the-tests-0123456789")

    async def run(*arguments: str, code: int = 0) -> str:
        # On a thread, because the exchange lives in this loop.
        done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
        assert done.exit_code == code, done.output
        return done.output

    return run


async def test_a_file_of_positions_becomes_vaults_and_their_values_are_told(
    exchange: Any, perpdex: Any, tmp_path: Any
) -> None:
    manager = str((await exchange.agent("m")).account)
    file = tmp_path / "positions.json"
    file.write_text(json.dumps(FILE))
    for _ in range(2):
        said = await perpdex("vault", "import", str(file), "--manager", manager)
        assert said == "vault-1: 1000000 USDC and 3 positions\n"
    made = await perpdex("vault", "import", str(file), "--manager", manager, "--json")
    assert [one["id"] for one in json.loads(made)["vaults"]] == ["vault-1"]
    at = int(exchange.clock())
    nav = NavSnapshots(exchange.ledger.pool())
    prices = {"hyper::ETH": "2000", "synthetix::XAU": "4000", "mock_gold::XAU": "4000"}
    found = {
        leg_from(name): NavPrice(price_from(text), at, "a test", "venue") for name, text in prices.items()
    }
    found[leg_from("mock_gold::XAU")] = NavPrice(price_from("4000"), at, "generated, seed 1", "demo")
    await nav.record_prices(at, found)
    await nav.take(at, "", 10, at)
    [worth] = json.loads(await perpdex("nav", "vault-1", "--json"))["navs"]
    assert worth["nav"] == "1007800.000000"
    overview = await perpdex("nav")
    assert "hyper 3000.000000" in overview
    assert "mock_gold::XAU" in overview
    assert "synthetix::XAU" not in overview
    assert "mock_gold" in await perpdex("nav", "vault-1")
    assert "1007800.000000" in await perpdex("nav", "vault-1", "--history")
    assert await perpdex("nav", "vault-1", "--alerts") == "none\n"
    assert "name it" in await perpdex("nav", "--history", code=2)
    shown = json.loads(await perpdex("vault", "show", "vault-1", "--json"))
    assert shown["holders"] == [{"holder": int(manager), "shares": "1007800.000000"}]
    [transfer] = json.loads(await perpdex("vault", "transfers", "vault-1", "--json"))["transfers"]
    assert (transfer["kind"], transfer["status"]) == ("opening", "done")
    file.write_text('{"vault-2": {"cash": "much"}}')
    assert "nothing was made" in await perpdex("vault", "import", str(file), "--manager", manager, code=1)


async def test_an_operator_names_a_price_at_a_terminal(exchange: Any, perpdex: Any) -> None:
    manager = str((await exchange.agent("m")).account)
    await perpdex("vault", "make", "alpha", "--manager", manager)
    terms = ("vault", "price", "alpha", "polymarket::7132", "1", "--position", "0")
    assert "nothing_unpriced" in await perpdex(*terms, "--why", "redeemed", code=1)
    fills = VenueFills(exchange.ledger.pool())
    bought = TakenFill("f1", "", "", "7132", 1, size_from("12.5"), price_from("0.5"), 0, 1)
    await fills.record("alpha", "polymarket", "", [bought], "1", 1)
    await fills.unpriced("alpha", "polymarket", {"7132": unpriced_words(bought.size, 0)}, 2)
    assert "--why" in await perpdex(*terms, code=2)
    booked = json.loads(await perpdex(*terms, "--why", "redeemed", "--json"))
    assert (booked["before"], booked["position"], booked["price"]) == ("12.5", "0", "1")
    assert "polymarket::7132 priced at 1" in await perpdex("vault", "changes", "alpha")


async def test_an_operator_names_what_snapshots_count_a_leg_at(exchange: Any, perpdex: Any) -> None:
    manager = str((await exchange.agent("m")).account)
    await perpdex("vault", "make", "alpha", "--manager", manager)
    pool = exchange.ledger.pool()
    at = int(exchange.clock())
    bought = TakenFill("f1", "", "", "7132", 1, size_from("12.5"), price_from("0.5"), 0, at)
    await VenueFills(pool).record("alpha", "polymarket", "", [bought], "1", at)
    nav, leg = NavSnapshots(pool), leg_from("polymarket::7132")
    terms = ("vault", "price", "alpha", str(leg), "0.4", "--why", "as it was sold elsewhere")
    assert "nothing_unpriced" in await perpdex(*terms, code=1)
    await nav.record_prices(at, {leg: NavPrice(0, 0, "nobody", "none")})
    await nav.take(at, "", 10, at)
    named = json.loads(await perpdex(*terms, "--json"))
    assert (named["before"], named["position"], named["price"]) == ("12.5", "12.5", "0.4")
    at = int(exchange.clock())
    await nav.record_prices(at, {leg: NavPrice(0, 0, "nobody", "none")})
    await nav.take(at, "", 10, at)
    [worth] = json.loads(await perpdex("nav", "alpha", "--json"))["navs"]
    assert (worth["nav"], worth["doubts"]) == ("-1.250000", [])
    assert worth["venues"][0]["legs"][0]["standing"] == "operator"
    assert "polymarket::7132" in await perpdex("nav")
    assert named["until"] - worth["venues"][0]["legs"][0]["price_at"] == 86_400_000_000
    away = ("vault", "withdraw-price", "alpha", str(leg), "--why", "it trades again")
    assert json.loads(await perpdex(*away, "--json"))["price"] == "0.4"
    assert "nothing_unpriced" in await perpdex(*away, code=1)


async def test_an_operator_makes_pauses_and_sets_the_rules_of_a_vault(exchange: Any, perpdex: Any) -> None:
    manager = str((await exchange.agent("m")).account)
    await perpdex("vault", "make", "alpha", "--manager", manager, "--fee-ppm", "200000")
    assert "vault_unknown" in await perpdex("vault", "show", "beta", code=1)
    await perpdex("vault", "pause", "alpha", "--why", "a holiday")
    [listed] = json.loads(await perpdex("vault", "list", "--json"))["vaults"]
    assert (listed["id"], listed["paused"], listed["performance_fee_ppm"]) == ("alpha", True, 200_000)
    assert json.loads(await perpdex("vault", "resume", "alpha", "--why", "over", "--json"))["paused"] is False
    done = json.loads(await perpdex("vault", "changes", "alpha", "--json"))["changes"]
    assert [(one["what"], one["why"]) for one in done] == [
        ("resumed", "over"),
        ("paused", "a holiday"),
        ("made", ""),
    ]
    rules = ("--symbols", "XAU", "--limit", "hyper:maxLeverage=9", "--limit", "hyper:maxNotionalUsd=500")
    set_to = json.loads(await perpdex("vault", "risk", "set", "alpha", *rules, "--why", "he may", "--json"))
    assert set_to["effective"]["allowedSymbols"] == "XAU"
    assert set_to["effective"]["perVenue"]["hyper"]["maxLeverage"] == 9
    assert "maxNotionalUsd 500" in await perpdex("vault", "risk", "show", "alpha")
    assert "VENUE:NAME=NUMBER" in await perpdex("vault", "risk", "set", "alpha", "--limit", "hyper=9", code=2)
    for neither_nor in ((), ("--silent", "--symbols", "XAU")):
        assert "or --silent" in await perpdex("vault", "risk", "set", "alpha", *neither_nor, code=2)
    await perpdex("vault", "risk", "set", "alpha", "--silent")
    versions = json.loads(await perpdex("vault", "risk", "versions", "alpha", "--json"))["versions"]
    assert [(one["version"], one["why"]) for one in versions] == [(2, ""), (1, "he may")]
    await perpdex("vault", "deposit", "alpha", "1000", "--holder", manager, "--key", "one")
    refused = await perpdex("vault", "withdraw", "alpha", "1", "--holder", manager, "--key", "two", code=1)
    assert "shares_short" in refused
    [one] = json.loads(await perpdex("vault", "transfers", "alpha", "--status", "waiting", "--json"))[
        "transfers"
    ]
    number = str(one["number"])
    cancelled = json.loads(await perpdex("vault", "cancel", "alpha", number, "--why", "sent back", "--json"))
    assert cancelled == one | {"status": "cancelled", "dealt_at": cancelled["dealt_at"]}
    assert cancelled["dealt_at"] >= one["at"]
    assert await perpdex("vault", "transfers", "alpha", "--before", number) == "none\n"
    last = json.loads(await perpdex("vault", "changes", "alpha", "--json"))["changes"][-1]["number"]
    assert await perpdex("vault", "changes", "alpha", "--before", str(last)) == "none\n"


async def test_a_manager_narrows_its_vault_s_rules_and_nobody_else_does(
    exchange: Any, perpdex: Any, tmp_path: Any
) -> None:
    async def key_file(name: str) -> Any:
        agent = await exchange.agent(name)
        path = tmp_path / f"{name}.json"
        path.write_text(agent.keypair.to_json())
        path.chmod(0o600)
        return agent, ("--manager-key", str(path))

    (manager, by_manager), (_, by_other) = await key_file("m"), await key_file("o")
    await perpdex("vault", "make", "alpha", "--manager", str(manager.account))
    await perpdex("vault", "risk", "set", "alpha", "--limit", "hyper:maxLeverage=5", "--why", "the most")
    narrower = ("vault", "risk", "set", "alpha", "--limit", "hyper:maxLeverage=3", "--symbols", "XAU")
    found = json.loads(await perpdex(*narrower, "--why", "calm", *by_manager, "--json"))
    assert found["effective"]["perVenue"]["hyper"]["maxLeverage"] == 3
    assert found["ceiling"]["perVenue"]["hyper"]["maxLeverage"] == 5
    assert found["manager"]["allowedSymbols"] == "XAU"
    wider = ("vault", "risk", "set", "alpha", "--limit", "hyper:maxLeverage=6", *by_manager)
    assert "risk_not_tighter" in await perpdex(*wider, code=1)
    assert "maxLeverage 3" in await perpdex("vault", "risk", "show", "alpha", *by_manager)
    assert f"account/{manager.account}" in await perpdex("vault", "risk", "versions", "alpha", *by_manager)
    for what in ("show", "versions"):
        assert "vault_unknown" in await perpdex("vault", "risk", what, "alpha", *by_other, code=1)
    paused = json.loads(await perpdex("vault", "pause", "alpha", "--why", "lunch", *by_manager, "--json"))
    assert (paused["id"], paused["paused"]) == ("alpha", True)
    assert "lunch" in await perpdex("vault", "changes", "alpha", *by_manager)
    assert json.loads(await perpdex("vault", "list", *by_other, "--json"))["vaults"] == []
    # Under another name the same key is another agent.
    stranger = ("vault", "risk", "show", "alpha", *by_manager, "--agent", "somebody")
    assert "vault_unknown" in await perpdex(*stranger, code=1)
    nowhere = ("vault", "risk", "show", "alpha", "--manager-key", str(tmp_path / "no.json"))
    assert "there is no key file" in await perpdex(*nowhere, code=1)
    assert not (tmp_path / "no.json").exists()


async def test_a_manager_decides_by_the_sdk(exchange: Any, perpdex: Any, tmp_path: Any) -> None:
    rest, session = await signed_in(exchange.server.http_url, tmp_path / "m.json", "m")
    manager = Manager(rest)
    try:
        await perpdex("vault", "make", "alpha", "--manager", str(session.account))
        made = await manager.make_key("alpha", "desk-1", ["read"], 1)
        [listed] = await manager.keys("alpha")
        assert (listed.id, listed.name, listed.scopes, listed.revoked_at) == (
            made.id,
            "desk-1",
            ["read"],
            None,
        )
        ended = await manager.revoke_key("alpha", made.id, "left")
        assert (ended.why, ended.revoked_by) == ("left", f"account/{session.account}")
        rules = RiskRules("XAU", None, {"hyper": VenueLimits(max_leverage=2, max_notional_usd=500)})
        found = await manager.set_risk("alpha", rules, "calm")
        assert (found.version, found.manager, found.operator) == (1, rules, RiskRules())
        assert found.effective.per_venue == rules.per_venue
        assert await manager.risk("alpha") == found
        [version] = await manager.risk_versions("alpha")
        assert (version.role, version.rules, version.why) == ("manager", rules, "calm")
        with pytest.raises(Refused, match="vault_unknown"):
            await manager.risk("beta")
    finally:
        await manager.close()
