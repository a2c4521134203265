"""The venues that the settings allow, as the worker opens them: keys of each vault's own, and prices that say what they are."""

import pytest
from eth_account import Account
from structlog.testing import capture_logs

from chain.keys import create_secret
from core.market import Side
from core.quantities import SECOND
from core.tickets import Leg, price_from, size_from
from core.vault_risk import VENUES, NotRules
from endings import sentence
from oracles.recording import RecordingFailed
from settings import Settings
from trading import GOLD, trading
from vault_terms import operator_template
from venues.driver import Acknowledged, VenueOrder
from venues.errors import AccountMissing
from venues.local.polymarket import LocalPolymarket
from venues.local.polymarket_books import MARKETS, Funded
from venues.prices import LegPrice, Standing
from venues.registry import VenueUnknown

NOON = 1_763_812_800 * SECOND
"""Where a round of a recording of two seconds begins."""


def nobody():
    raise AssertionError("no order for gold on chain is placed here")


def settings(directory, **given):
    return Settings(perpdex_data=directory, **given)


async def test_gold_has_a_demo_price_only_where_the_settings_say_so(tmp_path):
    async with trading(settings(tmp_path), nobody) as at:
        assert await at.index("fund", GOLD) is None
        assert at.drivers.lifecycles.keys() == VENUES
    async with trading(settings(tmp_path, exec_demo_gold="4000.5"), nobody) as at:
        assert await at.index("fund", GOLD) == price_from("4000.5")
        found = (await at.prices.get_index_prices([str(GOLD)]))[str(GOLD)]
        assert found.standing is Standing.DEMO
        gold = await at.drivers.driver("fund", "mock_gold")
        assert (await gold.mids(["XAU"]))["XAU"].price == price_from("4000.5")
        assert await at.index("fund", Leg("mock_gold", "SILVER")) is None


async def test_what_is_held_at_a_venue_that_is_not_allowed_any_more_is_what_oracles_say(tmp_path):
    nowhere = "http://127.0.0.1:9"
    terms = settings(
        tmp_path, exec_allowed_venues="mock_gold", chainlink_rpc_url=nowhere, exec_hyper_url=nowhere
    )
    async with trading(terms, nobody) as at:
        legs = ("hyper::ETH", "synthetix_v3::BTC", "mock_gold::XAU", "atlantis::ETH")
        found = await at.prices.get_index_prices(legs)
    # The oracle is asked, which nobody answers for here, and the venue is not.
    for leg in legs[:3]:
        [why] = found[leg].tried
        assert why.startswith("Chainlink (127.0.0.1): unreachable: "), leg
    assert found["atlantis::ETH"].tried == ("there is no venue atlantis",)


async def test_gold_is_played_as_generated_or_as_recorded_and_marked_as_neither_s_word(tmp_path):
    """Whoever asks, in whatever process, is told the same of an instant; another seed or a recording says something else."""

    async def told(**given):
        terms = settings(tmp_path, exec_demo_gold="played", **given)
        async with trading(terms, nobody, lambda: NOON) as at:
            return (await at.prices.get_index_prices([str(GOLD)]))[str(GOLD)]

    generated = LegPrice(price_from("4038.228"), NOON, "generated, seed 1", Standing.DEMO)
    assert await told() == await told() == generated
    assert (await told(price_seed=2)).price != generated.price
    (tmp_path / "BTC-PERP.csv").write_text("time,price\n1700000000,60000\n")
    assert await told(price_recording=tmp_path) == generated
    recording = tmp_path / "XAUUSD-day.csv"
    recording.write_text("time,price\n1700000000,2010.5\n1700000001,2011.25\n")
    recorded = LegPrice(price_from("2010.5"), NOON, "recording XAUUSD-day.csv", Standing.DEMO)
    assert await told(price_recording=tmp_path) == await told(price_recording=recording) == recorded
    recording.write_text("time,price\n1700000000,much\n")
    with pytest.raises(RecordingFailed, match="line 2"):
        await told(price_recording=tmp_path)


async def test_each_vault_has_a_key_of_its_own_that_stays(tmp_path):
    async with trading(settings(tmp_path), nobody) as at:
        one = await at.drivers.driver("one", "agents")
        assert await at.drivers.driver("one", "agents") is one
        await at.drivers.driver("two", "agents")
    keys = {path.name: path for path in (tmp_path / "keys" / "venues" / "agents").iterdir()}
    assert set(keys) == {"one.key", "two.key"}
    assert keys["one.key"].read_text() != keys["two.key"].read_text()
    assert {path.stat().st_mode & 0o777 for path in keys.values()} == {0o600}
    before = keys["one.key"].read_text()
    async with trading(settings(tmp_path), nobody) as at:
        await at.drivers.driver("one", "agents")
    assert keys["one.key"].read_text() == before


@pytest.mark.parametrize("venue", ["agents", "hyper", "polymarket", "synthetix"])
async def test_no_key_is_made_where_the_vault_is_known_to_have_had_one(tmp_path, venue):
    """A new key's account has nothing, and everything that the vault held was taken for sold."""
    kept, keys = {}, tmp_path / "keys" / "venues" / venue

    async def known(vault, venue):
        return kept.get((vault, venue))

    if venue == "synthetix":
        keys.mkdir(parents=True)
        (keys / "fund.account").write_text("7\n")
    terms = settings(tmp_path, exec_allowed_venues=venue)
    async with trading(terms, nobody, known=known) as at:
        kept["fund", venue] = (await at.drivers.driver("fund", venue)).account
    assert kept["fund", venue]
    async with trading(terms, nobody, known=known) as at:
        assert (await at.drivers.driver("fund", venue)).account == kept["fund", venue]
    key = (keys / "fund.key").rename(keys / "away")
    # Also where it was not written down which account it is.
    for account in (kept["fund", venue], ""):
        kept["fund", venue] = account
        async with trading(terms, nobody, known=known) as at:
            with capture_logs() as logs, pytest.raises(AccountMissing):
                await at.drivers.driver("fund", venue)
            assert "fund.key is missing, and the vault has had an account there" in logs[0]["why"]
            assert account in logs[0]["why"]
    assert not (keys / "fund.key").exists()
    key.rename(keys / "fund.key")
    async with trading(terms, nobody, known=known) as at:
        await at.drivers.driver("fund", venue)


async def test_another_account_than_the_vault_s_is_refused_before_anything_is_asked_of_it(tmp_path):
    named = tmp_path / "keys" / "venues" / "synthetix" / "fund.account"
    named.parent.mkdir(parents=True)
    create_secret(named.with_name("fund.key"), lambda: "0x" + "71" * 32)

    async def known(vault, venue):
        return "7"

    async with trading(settings(tmp_path, exec_allowed_venues="synthetix"), nobody, known=known) as at:
        named.write_text("8\n")
        with capture_logs() as logs, pytest.raises(AccountMissing) as told:
            await at.drivers.driver("fund", "synthetix")
        assert str(told.value) == "synthetix: the account there is another one than the vault has"
        assert (logs[-1]["account"], logs[-1]["known"]) == ("8", "7")
        named.write_text("7\n")
        assert (await at.drivers.driver("fund", "synthetix")).account == "7"


async def test_an_account_that_nobody_can_guess_must_be_named(tmp_path):
    async with trading(settings(tmp_path, exec_allowed_venues="synthetix"), nobody) as at:
        with capture_logs() as logs, pytest.raises(AccountMissing) as told:
            await at.drivers.driver("fund", "synthetix")
        # Where keys lie is said to the operator, and to nobody who sends a ticket.
        assert str(told.value) == "synthetix: the vault's account there is not set up"
        assert "fund.account does not say the number" in logs[0]["why"]
        named = tmp_path / "keys" / "venues" / "synthetix" / "fund.account"
        named.parent.mkdir(parents=True, exist_ok=True)
        named.write_text("7\n")
        assert (await at.drivers.driver("fund", "synthetix")).venue == "synthetix"
        key = named.with_name("open.key")
        key.write_text("0x" + "11" * 32)
        key.chmod(0o644)
        named.with_name("open.account").write_text("8")
        with pytest.raises(AccountMissing):
            await at.drivers.driver("open", "synthetix")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0x" + "0a" * 20, "does not say what kind of wallet 0x0a0a"),
        ("0x" + "0a" * 20 + " purse", "behind the address one of proxy, safe, contract"),
        ("safe", "does not say the address"),
        ("", "does not say the address"),
    ],
)
async def test_a_polymarket_wallet_of_which_nobody_says_the_kind_is_a_sentence_at_the_start(
    tmp_path, text, why
):
    named = tmp_path / "keys" / "venues" / "polymarket" / "fund.account"
    named.parent.mkdir(parents=True)
    named.write_text(text)
    with capture_logs() as logs:
        async with trading(settings(tmp_path, exec_allowed_venues="polymarket"), nobody) as at:
            assert [(one["vault"], why in one["why"]) for one in logs] == [("fund", True)]
            with pytest.raises(AccountMissing):
                await at.drivers.driver("fund", "polymarket")
            await at.drivers.driver("other", "polymarket")


@pytest.mark.parametrize(("word", "kind"), [("proxy", 1), ("safe", 2), ("contract", 3), (None, 0)])
async def test_a_vault_trades_from_the_wallet_that_its_settings_name(tmp_path, word, kind):
    """The venue looks at maker, signer and kind as the real exchange does."""
    key = "0x" + "71" * 32
    address, directory = Account.from_key(key).address, tmp_path / "keys" / "venues" / "polymarket"
    wallet = address if word is None else "0x" + f"{kind}b" * 20
    directory.mkdir(parents=True)
    create_secret(directory / "fund.key", lambda: key)
    if word is not None:
        (directory / "fund.account").write_text(f"{wallet} {word}\n")
    venue = LocalPolymarket()
    await venue.start()
    venue.do(Funded(wallet.lower(), address.lower(), 1_000_000_000))
    urls = {"exec_polymarket_url": venue.url, "exec_polymarket_data_url": venue.url}
    async with trading(settings(tmp_path, exec_allowed_venues="polymarket", **urls), nobody) as at:
        driver = await at.drivers.driver("fund", "polymarket")
        bought = VenueOrder(driver.client_id("a"), MARKETS[0].tokens[0], Side.BUY, size_from("50"))
        assert isinstance(await driver.submit(bought), Acknowledged)
        assert (await driver.positions())[bought.symbol].size == size_from("50")
    ((_, placed),) = venue.books.placed.items()
    assert placed.order.user == wallet.lower()
    await venue.stop()


async def test_a_venue_that_there_is_not_is_one_sentence(tmp_path):
    with pytest.raises(VenueUnknown) as told:
        async with trading(settings(tmp_path, exec_allowed_venues="mock_gold,atlantis"), nobody):
            pass
    assert "there is no venue atlantis" in (sentence(told.value) or "")


async def test_gold_on_chain_is_a_venue_where_there_is_a_router(tmp_path):
    with pytest.raises(VenueUnknown, match="EVM_ROUTER"):
        async with trading(settings(tmp_path, exec_allowed_venues="mock_gold_evm"), nobody):
            pass
    chain = {"evm_rpc_url": "http://127.0.0.1:9", "evm_chain_id": 1, "evm_router": "0x" + "0c" * 20}
    async with trading(settings(tmp_path, exec_allowed_venues="mock_gold_evm", **chain), lambda: None) as at:
        with capture_logs() as logs, pytest.raises(AccountMissing):
            await at.drivers.driver("fund", "mock_gold_evm")
        assert "fund.account does not say the address" in logs[0]["why"]
        named = tmp_path / "keys" / "venues" / "mock_gold_evm" / "fund.account"
        named.parent.mkdir(parents=True)
        named.write_text("0x" + "0a" * 20 + "\n")
        assert (await at.drivers.driver("fund", "mock_gold_evm")).venue == "mock_gold_evm"
        # However an address is written, it is one account.
        named.with_name("other.account").write_text("0x" + "0A" * 20 + "\n")
        accounts = [(await at.drivers.driver(name, "mock_gold_evm")).account for name in ("fund", "other")]
        assert accounts == ["0x" + "0a" * 20] * 2
        # A node that does not answer leaves it without a price.
        assert await at.index("fund", Leg("mock_gold_evm", "XAU")) is None


def test_where_money_is_real_no_venue_is_a_game_and_no_price_made_up():
    real = {"solana_cluster": "mainnet", "exec_allowed_venues": "agents,hyper"}
    assert operator_template(Settings(**real)).venues == {"agents", "hyper"}
    for wrong in ({"exec_allowed_venues": "agents, mock_gold"}, {"exec_demo_gold": "played"}):
        with pytest.raises(NotRules, match="on mainnet"):
            operator_template(Settings(**real | wrong))
        assert operator_template(Settings(**real | wrong | {"solana_cluster": "devnet"})).venues
    # Where nobody says otherwise there is one.
    with pytest.raises(NotRules, match="EXEC_ALLOWED_VENUES must leave out mock_gold on mainnet"):
        operator_template(Settings(solana_cluster="mainnet"))
