"""Outside mids from a recorded answer, over real HTTP; and a venue that is down, stuck, busy or talks nonsense."""

import json

import pytest
from aiohttp import web

from core.quantities import SECOND, Nanos
from oracles.perp_mids import SOURCE, HyperliquidMids
from oracles.polling import SourceFailed
from oracles.price import Price
from oracles.refusal import Reason, Refused

COINS = {"BTC-PERP": "BTC", "ETH-PERP": "ETH", "SOL-PERP": "SOL"}
NOW = 1_689_630_200 * SECOND


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def mids(site, http, time) -> HyperliquidMids:
    return HyperliquidMids(http, COINS, time, site.url)


@pytest.fixture
def answer(data):
    return json.loads(data("hyperliquid/info/allMids.json").read_text())["response"]


def says(body, status: int = 200):
    async def handle(request: web.Request) -> web.Response:
        assert await request.json() == {"type": "allMids"}
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status)

    return handle


async def test_recorded_mids_are_exact_and_dated_by_our_clock(site, mids, answer):
    site.routes["/info"] = says(answer)
    assert await mids.latest() == {
        "BTC-PERP": Price("BTC-PERP", 301_350, -1, 0, Nanos(NOW), SOURCE),
        "ETH-PERP": Price("ETH-PERP", 190_395, -2, 0, Nanos(NOW), SOURCE),
        "SOL-PERP": Price("SOL-PERP", 26_516, -3, 0, Nanos(NOW), SOURCE),
    }


async def test_a_mid_that_is_stuck_ages_whatever_the_others_do(site, mids, answer, time):
    site.routes["/info"] = says(answer)
    await mids.latest()
    time.now += 30 * SECOND
    assert {price.published_at for price in (await mids.latest()).values()} == {NOW}
    # The venue lives, and two of ours are still frozen.
    site.routes["/info"] = says(answer | {"DOGE": "0.069278", "ETH": "1904.0"})
    dated = {symbol: price.published_at for symbol, price in (await mids.latest()).items()}
    assert dated == {"BTC-PERP": NOW, "ETH-PERP": time.now, "SOL-PERP": NOW}


async def test_a_mid_that_was_away_is_dated_by_its_return(site, mids, answer, time):
    site.routes["/info"] = says(answer)
    await mids.latest()
    for seconds, said in ((30, {coin: mid for coin, mid in answer.items() if coin != "BTC"}), (60, answer)):
        time.now = NOW + seconds * SECOND
        site.routes["/info"] = says(said)
        read = await mids.latest()
    assert read["BTC-PERP"].published_at == time.now
    assert read["ETH-PERP"].published_at == NOW


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", Reason.WRONG_ENCODING),
        ("Infinity", Reason.WRONG_ENCODING),
        ("", Reason.WRONG_ENCODING),
        ("1e99", Reason.WRONG_ENCODING),
        ("1e-99", Reason.WRONG_ENCODING),
        ("9" * 41, Reason.WRONG_ENCODING),
        ("thirty", Reason.WRONG_ENCODING),
        ("0", Reason.OUT_OF_RANGE),
        ("-30135.0", Reason.OUT_OF_RANGE),
        (None, Reason.WRONG_FEED),
    ],
)
async def test_one_bad_mid_is_refused_and_the_others_count(site, mids, answer, text, reason):
    spoiled = {coin: mid for coin, mid in (answer | {"BTC": text}).items() if mid is not None}
    site.routes["/info"] = says(spoiled)
    read = await mids.latest()
    assert isinstance(read["BTC-PERP"], Refused)
    assert read["BTC-PERP"].reason is reason
    assert isinstance(read["ETH-PERP"], Price)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 429, "rate_limited"),
        ({}, 500, "failing"),
        ("<html>", 200, "wrong_encoding"),
        ("[]", 200, "wrong_encoding"),
        ({"BTC": 30135.0}, 200, "wrong_encoding"),
        ({"BTC": None}, 200, "wrong_encoding"),
        ("", 200, "wrong_encoding"),
        ('{"x":' + "[" * 100_000, 200, "wrong_encoding"),
    ],
)
async def test_what_is_no_answer_is_a_failure_with_its_code(site, mids, body, status, code):
    site.routes["/info"] = says(body, status)
    with pytest.raises(SourceFailed) as error:
        await mids.latest()
    assert error.value.code == code
    assert (error.value.wait_s > 0) == (code == "rate_limited")


async def test_silence_and_absence(site, http, mids, time):
    async def drops(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    site.routes["/info"] = drops
    for source in (mids, HyperliquidMids(http, COINS, time, "http://127.0.0.1:1")):
        with pytest.raises(SourceFailed) as error:
            await source.latest()
        assert error.value.code == "unreachable"


def test_only_its_own_markets_and_never_as_the_index(mids):
    limits = mids.limits("BTC-PERP")
    assert limits is not None
    assert limits.witness
    assert mids.limits("DOGE-PERP") is None
