"""What the feed picks, and what it reports when, from a real server, from recordings and made up."""

import asyncio
import json
from collections.abc import Callable

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from core.market import DEFAULT_MARKETS
from core.quantities import MILLISECOND, SECOND, Nanos
from core.validity import Validity
from oracles import chainlink, pyth_account
from oracles import hermes as hermes_source
from oracles.feed import BROKEN, LISTENER, STEADY, OnlyLive, PriceFeed, pick
from oracles.generator import STARTS, prices
from oracles.hermes import Hermes
from oracles.index import Fault, Routed
from oracles.live import Live
from oracles.price import Price
from oracles.pyth_account import PythAccounts
from oracles.recording import RecordingFailed
from oracles.sources import LIVE, Played

FEEDS = {market.symbol: market.feed for market in DEFAULT_MARKETS}
MARKETS = tuple(FEEDS)
LATEST, STREAM = "/v2/updates/price/latest", "/v2/updates/price/stream"
SIGNED_AT = Nanos(1_754_339_204 * SECOND)
"""When the recorded update of eleven feeds was signed."""


class Time:
    """A clock that stands where it is put, and waits that pass quickly."""

    def __init__(self, now: int = SIGNED_AT) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def answer(pyth) -> str:
    items = pyth("hermes-accumulator-updates")["items"]
    data = next(item["data"] for item in items if item["id"] == "ton:HERMES_UPDATE_10_PRICE_FEEDS")
    return json.dumps({"binary": {"encoding": "hex", "data": [data]}})


@pytest.fixture
def hermes(site, http, guardians) -> Hermes:
    return Hermes(http, FEEDS, guardians, site.url)


def says(text: str, status: int = 200):
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return handle


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


def newer(on_price: Callable[[str, Price], None]) -> Callable[[Routed], None]:
    """Hears valid prices that are newer than the last one of their market."""
    last: dict[str, int] = {}

    def on_routed(routed: Routed) -> None:
        price = routed.price
        if (
            routed.validity is Validity.VALID
            and price is not None
            and price.published_at > last.get(routed.symbol, 0)
        ):
            last[routed.symbol] = price.published_at
            on_price(routed.symbol, price)

    return on_routed


async def test_live_when_it_proves_a_price_of_every_market(site, hermes, answer, time):
    site.routes[LATEST] = says(answer)
    site.routes[STREAM] = says("", 503)
    source = await pick(MARKETS, clock=time, sleep=time.sleep, hermes=hermes)
    assert isinstance(source, Live)
    seen = []
    feed = PriceFeed(
        source, newer(lambda symbol, price: seen.append((symbol, price))), clock=time, sleep=time.sleep
    )
    assert feed.source_label == "live Pyth (127.0.0.1)"
    feed.step(Nanos(time()))
    assert {symbol: price.value for symbol, price in seen} == {
        "BTC-PERP": 11_472_160_022_545,
        "ETH-PERP": 368_355_000_000,
        "SOL-PERP": 16_609_503_154,
    }
    feed.step(Nanos(time()))
    assert len(seen) == 3  # the same prices are not reported twice
    feed.step(Nanos(time() + 11 * SECOND))
    assert {(one.validity, one.reasons) for one in feed.routed.values()} == {
        (Validity.AGED, (("pyth hermes", Fault.AGED), ("pyth hermes", Fault.UNCONFIRMED)))
    }


@pytest.mark.parametrize("how", ["down", "key", "silent", "stale", "spoiled", "some"])
async def test_made_up_prices_when_live_ones_can_not_be_used(site, http, guardians, answer, time, how):
    feeds = FEEDS | {"DOGE-PERP": "00" * 32} if how == "some" else FEEDS
    hermes = Hermes(http, feeds, guardians, "http://127.0.0.1:1" if how == "down" else site.url)
    site.routes[LATEST] = {
        "key": says("", 401),
        "spoiled": says(answer.replace("3b801000000040d", "3b801000000030d")),
    }.get(how, says(answer))
    if how == "silent":

        async def silent(_: web.Request) -> web.Response:
            await asyncio.sleep(10)
            return web.Response()

        site.routes[LATEST] = silent
    time.now += 60 * SECOND if how == "stale" else 0
    symbols = MARKETS if how != "some" else (*MARKETS, "DOGE-PERP")
    if how == "some":
        # No first price: the generator knows the network's markets only, and goes on without that one.
        source = await pick(symbols, clock=time, sleep=time.sleep, hermes=hermes)
        assert [route.symbol for route in source.routes()] == [*MARKETS]
        return
    began = asyncio.get_running_loop().time()
    source = await pick(symbols, clock=time, sleep=time.sleep, hermes=hermes, seed=7)
    assert asyncio.get_running_loop().time() - began < 3
    assert source.label == "generated, seed 7"


async def test_the_stream_the_accounts_and_asking_all_feed_it(site, http, hermes, answer, time):
    asked = []

    async def latest(_: web.Request) -> web.Response:
        asked.append(time.now)
        return web.Response(text=answer)

    async def node(request: web.Request) -> web.Response:
        asked.append("accounts")
        return web.Response(text='{"result":{"context":{"slot":1},"value":[null,null,null]}}')

    site.routes |= {LATEST: latest, STREAM: says(f"data:{answer}\n\n"), "/": node}
    accounts = PythAccounts.of(http, site.url, FEEDS, {})
    source = await pick(MARKETS, clock=time, sleep=time.sleep, hermes=hermes, accounts=accounts)
    seen = []
    feed = PriceFeed(source, newer(lambda symbol, _: seen.append(symbol)), clock=time, sleep=time.sleep)
    running = asyncio.get_running_loop().create_task(feed.run())
    await until(lambda: len(seen) == 3 and "accounts" in asked)
    site.routes[STREAM] = says("", 503)
    await until(lambda: source.troubles.get((f"{hermes.host} stream", "")) == "failing")
    time.now += 4 * SECOND
    await until(lambda: time.now in asked)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_judgement_that_is_refused_is_counted_and_a_trouble_until_one_is_taken(time):
    feed = PriceFeed(Played({}, MARKETS, start=SIGNED_AT, seed=1), lambda routed: None, clock=time)
    with capture_logs() as said:
        for code in ("", "bad_value", "bad_value", "index_goes_back"):
            feed.answered("BTC-PERP", code)
        assert feed.troubles == {(LISTENER, "BTC-PERP"): "index_goes_back"}
        feed.answered("ETH-PERP", "")
        feed.answered("BTC-PERP", "")
    assert feed.troubles == {}
    assert feed.refusals == {("BTC-PERP", "bad_value"): 2, ("BTC-PERP", "index_goes_back"): 1}
    # By the change: a line per second for as long as a source lies would bury everything else.
    assert [(one["event"], one["log_level"], one["code"]) for one in said] == [
        ("index refused", "error", "bad_value"),
        ("index refused", "error", "index_goes_back"),
        ("index taken again", "info", "index_goes_back"),
    ]


async def test_accounts_that_an_operator_names_are_live_though_hermes_is_silent(site, http, hermes, time):
    site.routes |= {LATEST: says("", 401), STREAM: says("", 401), "/": says("", 503)}
    for proven in (hermes, None):
        accounts = PythAccounts.of(http, site.url, FEEDS, {})
        source = await pick(MARKETS, clock=time, sleep=time.sleep, hermes=proven, accounts=accounts, seed=7)
        assert isinstance(source, Live)


async def test_a_recording_plays_and_the_other_markets_are_made_up(data, time):
    path = data("market/binance-usdm-BTCUSDT-2023-04-05-markprice.csv.gz")
    source = await pick(MARKETS, clock=time, sleep=time.sleep, path=path, seed=3)
    assert source.label == (
        "recording binance-usdm-BTCUSDT-2023-04-05-markprice.csv.gz (BTC-PERP), generated, seed 3 (ETH-PERP, SOL-PERP)"
    )
    seen: dict[str, list] = {symbol: [] for symbol in MARKETS}
    feed = PriceFeed(source, newer(lambda symbol, price: seen[symbol].append(price)), clock=time)
    for _ in range(4_000):
        feed.step(Nanos(time()))
        time.now += 500 * MILLISECOND
        assert {one.validity for one in feed.routed.values()} == {Validity.VALID}
    assert len(seen["BTC-PERP"]) > 1_900  # past the end of the file and round again
    assert [price.value for price in seen["ETH-PERP"][:100]] == [
        value for value, _ in zip(prices(3, "ETH-PERP"), range(100), strict=False)
    ]
    for reported in seen.values():
        times = [price.published_at for price in reported]
        assert times == sorted(set(times))


async def test_a_recording_that_can_not_be_played_is_said_at_once(tmp_path, time):
    with pytest.raises(RecordingFailed, match="no file"):
        await pick(MARKETS, clock=time, path=tmp_path / "BTC.csv")


async def test_where_prices_must_be_live_none_are_played_however_long_it_takes(
    site, http, hermes, answer, time
):
    site.routes |= {LATEST: says("", 503), STREAM: says("", 503)}
    source = await pick(MARKETS, clock=time, sleep=time.sleep, hermes=hermes, only_live=True)
    assert source.label.startswith("live Pyth")
    heard = []
    feed = PriceFeed(source, heard.append, clock=time, sleep=time.sleep)
    feed.step(Nanos(time()))
    assert {one.validity for one in heard} == {Validity.UNAVAILABLE}
    site.routes |= {LATEST: says(answer), STREAM: says(f"data:{answer}\n\n")}
    running = asyncio.get_running_loop().create_task(feed.run())
    await until(lambda: {one.symbol for one in heard if one.validity is Validity.VALID} == set(MARKETS))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_where_prices_must_be_live_a_recording_or_no_source_is_refused(hermes, tmp_path, time):
    for sources in ({"hermes": hermes, "path": tmp_path / "BTC.csv"}, {}):
        with pytest.raises(OnlyLive, match="set PYTH_URL and leave PRICE_RECORDING out"):
            await pick(MARKETS, clock=time, only_live=True, **sources)


def test_every_source_of_an_index_is_known_as_live():
    assert {hermes_source.SOURCE, chainlink.SOURCE, pyth_account.SOURCE, pyth_account.LEGACY_SOURCE} == LIVE


async def test_of_a_market_that_has_ended_nothing_is_judged(time):
    source = await pick(MARKETS, clock=time)
    ended, heard = set(), []
    feed = PriceFeed(source, heard.append, clock=time, ended=ended.__contains__)
    feed.step(Nanos(time()))
    assert set(feed.routed) == {one.symbol for one in heard} == set(MARKETS)
    ended.add("ETH-PERP")
    heard.clear()
    time.now += 60 * SECOND
    feed.step(Nanos(time()))
    assert set(feed.routed) == {one.symbol for one in heard} == set(MARKETS) - {"ETH-PERP"}


async def test_made_up_prices_go_on_where_they_were_left(time):
    source = await pick(MARKETS, clock=time, last={"BTC-PERP": 77_000_000_000})
    assert isinstance(source, Played)
    first = {price.symbol: price.value for price in source.due(Nanos(time()))}
    assert first == {**STARTS, "BTC-PERP": 77_000_000_000}


@pytest.mark.parametrize("where", ["run", "due"])
async def test_an_accident_in_a_source_is_shown_and_the_source_is_run_again(time, where):
    class Broken(Played):
        left = 3

        def fall(self) -> None:
            self.left -= 1
            if self.left >= 0:
                raise RuntimeError("accident")

        async def run(self) -> None:
            if where == "run":
                self.fall()

        def due(self, now: Nanos):
            if where == "due":
                self.fall()
            return super().due(now)

    source = Broken({}, MARKETS, start=SIGNED_AT, seed=1)
    heard = []
    feed = PriceFeed(source, heard.append, clock=time, sleep=time.sleep)
    assert feed.troubles == {}
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: source.left < 0)
        await until(lambda: heard)
        assert feed.troubles == {(feed.source_label, ""): BROKEN}
        time.now += STEADY
        await until(lambda: not feed.troubles)
        assert not running.done()
    finally:
        running.cancel()
