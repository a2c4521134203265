"""Prices are in the ticks of the listing, whatever this release would list, and a market that nobody follows is told."""

import asyncio

import httpx
import pytest
import structlog
from msgspec.structs import replace

from core.events import MarketListed
from core.market import DEFAULT_MARKETS, MarketStatus
from core.quantities import Nanos
from core.validity import Validity
from feeding import NOT_FOLLOWED, feed_into, price_feed
from matcher import commands as c
from matcher.engine import Engine
from matcher.journal import Journal
from matcher.recovery import End
from oracles.feed import LISTENER, PriceFeed
from oracles.generator import STARTS
from oracles.sources import Played
from settings import Settings

BTC, ETH, _ = DEFAULT_MARKETS
COARSE = replace(BTC, tick="1", value_per_tick_lot=10 * BTC.value_per_tick_lot)


@pytest.fixture
async def engine(outside, tmp_path):
    made = Engine(tmp_path / "journal", outside.clock)
    yield made
    made.close()


def played(*symbols: str) -> Played:
    return Played({}, symbols, start=Nanos(0), seed=1)


async def settled(engine: Engine) -> None:
    """All that was submitted before is decided."""
    await engine.ask(c.Advance())


async def test_a_price_is_told_in_the_ticks_that_the_market_was_listed_with(engine, outside):
    await engine.ask(c.ListMarket(COARSE))
    feed = feed_into(engine, played("BTC-PERP"))
    feed.step(Nanos(outside.clock()))
    await settled(engine)
    assert engine.state.indexes[BTC.id].price == 60_000
    assert (await engine.ask(c.ListMarket(BTC))).code == "market_in_use"


async def test_a_market_that_is_listed_anew_with_another_feed_gets_no_price_of_the_first_one(engine, outside):
    await engine.ask(c.ListMarket(BTC))
    feed = feed_into(engine, played("BTC-PERP"))
    await engine.ask(c.ListMarket(replace(BTC, feed=ETH.feed)))
    with structlog.testing.capture_logs():
        feed.step(Nanos(outside.clock()))
    await settled(engine)
    assert not engine.state.indexes
    assert feed.troubles == {("engine", "BTC-PERP"): NOT_FOLLOWED}


async def test_of_two_markets_with_one_symbol_in_an_older_journal_the_first_has_the_prices(outside, tmp_path):
    written = asyncio.Queue()
    (tmp_path / "older").mkdir()
    older = Journal(
        tmp_path / "older", End(0, None, 0), asyncio.get_running_loop(), written.put_nowait, 1 << 16
    )
    older.append([MarketListed(outside.clock(), one, "ada", "why") for one in (BTC, replace(BTC, id=9))])
    while await written.get() < 2:
        pass
    older.close()
    engine = Engine(tmp_path / "older", outside.clock)
    feed = feed_into(engine, played("BTC-PERP"))
    feed.step(Nanos(outside.clock()))
    await settled(engine)
    engine.close()
    assert {market: index.price for market, index in engine.state.indexes.items()} == {BTC.id: 600_000}


async def test_a_market_without_a_source_or_listed_later_is_among_the_troubles_until_it_ends(engine, outside):
    unknown = replace(ETH, id=7, symbol="UNKNOWN-PERP", feed="")
    for market in (BTC, unknown):
        await engine.ask(c.ListMarket(market))
    with structlog.testing.capture_logs() as logged:
        feed = feed_into(engine, played("BTC-PERP", "UNKNOWN-PERP"))
        await engine.ask(c.ListMarket(ETH))
    assert [(one["symbol"], one["code"]) for one in logged if one["event"] == "index refused"] == [
        ("UNKNOWN-PERP", NOT_FOLLOWED),
        ("ETH-PERP", NOT_FOLLOWED),
    ]
    assert set(feed.troubles) == {("engine", "UNKNOWN-PERP"), ("engine", "ETH-PERP")}
    feed.step(Nanos(outside.clock()))
    await settled(engine)
    assert set(engine.state.indexes) == {BTC.id}
    assert await engine.ask(c.DelistMarket(7, force=True, who="ada", why="a slip"))
    assert engine.state.statuses[7] is MarketStatus.SETTLED
    feed.step(Nanos(outside.clock()))
    assert set(feed.troubles) == {("engine", "ETH-PERP")}


async def test_where_only_chainlink_is_asked_a_market_that_it_does_not_know_keeps_no_other_from_its_price(
    engine, tmp_path
):
    for market in (BTC, replace(ETH, id=9, symbol="FOURTH-PERP", feed="ab" * 32)):
        await engine.ask(c.ListMarket(market))
    settings = Settings(
        perpdex_data=tmp_path, pyth_url="", pyth_rpc_url="", chainlink_rpc_url="http://127.0.0.1:1"
    )
    async with httpx.AsyncClient() as http:
        feed = await price_feed(settings, engine, http)
    assert feed.troubles == {("engine", "FOURTH-PERP"): NOT_FOLLOWED}


async def valid(feed: PriceFeed, symbol: str) -> None:
    async with asyncio.timeout(5):
        while symbol not in feed.routed or feed.routed[symbol].validity is not Validity.VALID:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("feed_id", [BTC.feed, "0x" + BTC.feed.upper()])
async def test_a_market_that_replaces_another_while_live_prices_run_has_the_prices_of_all_that_its_feed_had(
    engine, outside, site, tmp_path, feed_id
):
    """Under a symbol that no other publisher knows: they are asked for what the feed prices."""
    for market in (BTC, replace(ETH, feed="ab" * 32)):
        await engine.ask(c.ListMarket(market))
    settings = Settings(
        perpdex_data=tmp_path,
        pyth_url="",
        pyth_rpc_url=f"{site.url}/solana",
        chainlink_rpc_url=site.url,
        hyperliquid_url=site.url,
    )
    async with httpx.AsyncClient() as http:
        feed = await price_feed(settings, engine, http)
        running = asyncio.create_task(feed.run())
        await valid(feed, "BTC-PERP")
        await engine.ask(c.ListMarket(replace(ETH, id=10, symbol="NEW-PERP", feed="nonsense")))
        assert feed.troubles[LISTENER, "NEW-PERP"] == NOT_FOLLOWED
        await engine.ask(c.ListMarket(replace(BTC, id=9, symbol="BTC2-PERP", feed=feed_id)))
        assert feed.routed["BTC-PERP"].validity is Validity.VALID
        await valid(feed, "BTC2-PERP")
        assert (LISTENER, "BTC2-PERP") not in feed.troubles
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    of = {symbol: [one.limits.source for one in routed.inputs] for symbol, routed in feed.routed.items()}
    assert of == {
        "BTC2-PERP": ["pyth account", "chainlink", "hyperliquid mid"],
        "BTC-PERP": ["pyth account", "chainlink", "hyperliquid mid"],
        "ETH-PERP": ["pyth account"],  # its feed is not Ether's, whatever it is called
    }
    await settled(engine)
    assert engine.state.indexes[9].price == 592_400


async def test_the_feed_follows_what_is_listed_and_has_a_feed(engine, outside, tmp_path):
    fourth = replace(COARSE, id=9, symbol="FOURTH-PERP", feed="ab" * 32)
    for market in (COARSE, fourth, replace(ETH, feed="nonsense")):
        await engine.ask(c.ListMarket(market))
    async with httpx.AsyncClient() as http:
        live = await price_feed(
            Settings(
                perpdex_data=tmp_path,
                pyth_url="",
                chainlink_rpc_url="",
                hyperliquid_url="http://127.0.0.1:1",
                pyth_rpc_url="http://127.0.0.1:1",
            ),
            engine,
            http,
        )
    live.step(Nanos(outside.clock()))
    assert set(live.routed) == {"BTC-PERP", "FOURTH-PERP"}
    assert live.troubles == {("engine", "ETH-PERP"): NOT_FOLLOWED}
    assert "FOURTH-PERP" not in STARTS
