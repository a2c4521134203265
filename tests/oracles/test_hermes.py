"""Hermes over real HTTP with recorded updates: polled, streamed, dropped, silent, lying."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from core.market import DEFAULT_MARKETS
from core.quantities import SECOND
from oracles.hermes import SOURCE, Hermes, HermesFailed
from oracles.price import Price
from oracles.refusal import Reason, Refused
from oracles.sse import EVENT_BYTES_MAX, EventStream

LATEST, STREAM = "/v2/updates/price/latest", "/v2/updates/price/stream"
FEEDS = {market.symbol: market.feed for market in DEFAULT_MARKETS}
UPDATE = "ton:HERMES_BTC_ETH_UPDATE"
BTC = Price("BTC-PERP", 5_924_002_645_461, -8, 2_528_354_539, 1_724_826_310 * SECOND, SOURCE)
ETH = Price("ETH-PERP", 246_682_322_909, -8, 87_014_791, 1_724_826_310 * SECOND, SOURCE)


@pytest.fixture
def update(pyth) -> str:
    items = pyth("hermes-accumulator-updates")["items"]
    return next(item["data"] for item in items if item["id"] == UPDATE)


@pytest.fixture
def hermes(site, http, guardians) -> Hermes:
    return Hermes(http, FEEDS, guardians, site.url, "a-key")


def answer(*updates: str, encoding: str = "hex") -> str:
    return json.dumps({"binary": {"encoding": encoding, "data": updates}, "parsed": [{"price": "lies"}]})


def says(body: str | bytes, status: int = 200, **headers: str):
    async def handle(_: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=status, headers=headers)

    return handle


async def dripping(request: web.Request) -> web.StreamResponse:
    """An answer that never ends, and whose next byte always comes in time."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)
    return response


class Naps:
    """Waits that pass at once and are remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


async def test_latest_asks_for_our_feeds_and_returns_what_is_proven(site, hermes, update):
    site.routes[LATEST] = says(answer(update))
    assert await hermes.latest() == (BTC, ETH)
    asked = site.asked[0]
    assert asked.query.getall("ids[]") == list(FEEDS.values())
    assert asked.headers["Authorization"] == "Bearer a-key"


async def test_recorded_answers_are_believed_only_for_what_is_signed(site, hermes, pyth):
    responses = pyth("hermes-http-responses")["responses"]
    for name in ("data_v2", "json_get_pyth_prices_latest_v2"):
        site.routes[LATEST] = says(json.dumps(responses[name]))
        proven = {price.symbol: price for price in await hermes.latest()}
        for price in proven.values():
            assert price.confidence * 100 < price.value
    site.routes[LATEST] = says(json.dumps(responses["json_get_pyth_prices_latest_v1"]))
    with pytest.raises(Refused) as error:
        await hermes.latest()
    assert error.value.reason is Reason.WRONG_ENCODING


@pytest.mark.parametrize(
    ("status", "code", "wait_s"),
    [
        (204, "failing", 0),
        (401, "unauthorized", 60),
        (403, "unauthorized", 60),
        (404, "unknown_feed", 60),
        (429, "rate_limited", 7),
        (500, "failing", 0),
    ],
)
async def test_every_refusal_has_its_code(site, hermes, status, code, wait_s):
    site.routes[LATEST] = says(b"", status, **{"Retry-After": "7"})
    with pytest.raises(HermesFailed) as error:
        await hermes.latest()
    assert (error.value.code, error.value.wait_s) == (code, wait_s)


async def test_nobody_there_or_silent(http, guardians, site, hermes):
    with pytest.raises(HermesFailed) as error:
        await Hermes(http, FEEDS, guardians, "http://127.0.0.1:1").latest()
    assert error.value.code == "unreachable"

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    site.routes[LATEST] = silent
    with pytest.raises(HermesFailed) as error:
        await hermes.latest(timeout_s=0.1)
    assert error.value.code == "timeout"


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "{}", "\xff", answer("zz"), answer("504e41550"), answer("ü")),
        *(answer("!", encoding="base64"), answer("00", encoding="base58")),
        json.dumps({"binary": {"encoding": "hex", "data": 7}}),
        '{"x":' + "[" * 100_000,
    ],
)
async def test_answers_of_another_shape_are_refused(site, hermes, body):
    site.routes[LATEST] = says(body.encode("latin-1"))
    with pytest.raises(Refused) as error:
        await hermes.latest()
    assert error.value.reason is Reason.WRONG_ENCODING


async def test_an_endless_answer_is_cut_off(site, hermes):
    site.routes[LATEST] = says(b" " * (1 << 21))
    with pytest.raises(Refused):
        await hermes.latest()


def test_one_genuine_update_said_a_thousand_times_holds_nobody_up(http, guardians, hermes, update):
    """Two messages are in it, so that eight of it have as many as an answer may; each would cost a check of signatures."""
    assert hermes.proven(answer(*[update] * 8).encode()) == (BTC, ETH) * 8
    for many, reason in (
        (["00"] * 16, Reason.TRUNCATED),
        (["00"] * 17, Reason.TOO_MANY),
        ([update] * 9, Reason.TOO_MANY),
    ):
        with pytest.raises(Refused) as error:
            hermes.proven(answer(*many).encode())
        assert error.value.reason is reason
    more = FEEDS | {f"{number}-PERP": f"{number:064x}" for number in range(18 - len(FEEDS))}
    assert len(Hermes(http, more, guardians).proven(answer(*[update] * 9).encode())) == 18


async def test_a_stream_of_single_bytes_is_as_dead_as_a_silent_one(site, hermes):
    site.routes[STREAM] = dripping
    with pytest.raises(HermesFailed) as error:
        await asyncio.wait_for(anext(hermes.updates(quiet_s=0.2)), 5)
    assert error.value.code == "timeout"


async def test_the_stream_survives_drops_lies_and_silence(site, hermes, update):
    spoiled = update[:-2] + ("00" if update[-2:] != "00" else "01")
    event = f"data:{answer(update)}\n\n".encode()
    turns = iter(["drop", "lie", "refuse", "silence", "good", "good"])

    async def stream(request: web.Request) -> web.StreamResponse:
        turn = next(turns)
        if turn == "refuse":
            return web.Response(status=503)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if turn == "lie":
            await response.write(f"data:{answer(spoiled)}\n\n".encode())
            return response
        await response.write(b":keep-alive\n\n" + event[:700])
        await asyncio.sleep(0.01)
        if turn == "drop":
            await response.write(event[700:])
            request.transport.abort()
            return response
        if turn == "silence":
            await asyncio.sleep(5)
        await response.write(event[700:])
        return response

    site.routes[STREAM] = stream
    naps, seen, failures = Naps(), [], []
    async for prices in hermes.stream(naps, failures.append, quiet_s=0.2, backoff_s=(1.0, 4.0)):
        seen.append(prices)
        if len(seen) == 3:
            break
    assert seen == [(BTC, ETH)] * 3
    told = [error.reason if isinstance(error, Refused) else error.code for error in failures]
    assert told == ["unreachable", "wrong_proof", "failing", "timeout"]
    # drop, lie, refuse, silence, then a good one that ended: longer each time, short again after success.
    assert len(naps.taken) == 5
    for nap, full in zip(naps.taken, (1.0, 2.0, 4.0, 4.0, 1.0), strict=True):
        assert full / 2 <= nap <= full


async def test_a_stream_that_ends_well_is_a_failure_only_when_it_brings_nothing(site, hermes, update):
    """Else a server that lets everybody in and says nothing would be no trouble to anybody."""
    good, empty = says(f"data:{answer(update)}\n\n"), says(b"")
    answers = iter([good, good, empty, empty, good])

    async def stream(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    site.routes[STREAM] = stream
    naps, failures, seen = Naps(), [], []
    async for prices in hermes.stream(naps, failures.append, backoff_s=(1.0, 4.0)):
        seen.append((prices, [error.code for error in failures]))
        if len(seen) == 3:
            break
    assert seen == [((BTC, ETH), []), ((BTC, ETH), []), ((BTC, ETH), ["ended", "ended"])]
    for nap, full in zip(naps.taken, (1.0, 1.0, 2.0, 4.0), strict=True):
        assert full / 2 <= nap <= full


async def test_the_stream_waits_as_long_as_it_is_told(site, hermes, update):
    answers = iter([says(b"", 429, **{"Retry-After": "9"}), says(f"data:{answer(update)}\n\n")])

    async def stream(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    site.routes[STREAM] = stream
    naps, failures = Naps(), []
    async for prices in hermes.stream(naps, failures.append):
        assert prices == (BTC, ETH)
        break
    assert naps.taken == [9]
    assert [error.code for error in failures] == ["rate_limited"]


def test_updates_of_the_same_feed_under_another_spelling(guardians, update):
    client = httpx.AsyncClient()
    feeds = {"BTC-PERP": "0x" + FEEDS["BTC-PERP"].upper()}
    assert Hermes(client, feeds, guardians).proven(answer(update).encode()) == (BTC,)


def test_two_markets_of_one_feed_have_both_its_price(guardians, update):
    """One is announced to end, the other takes its place with another tick."""
    feeds = {"BTC-PERP": FEEDS["BTC-PERP"], "XBT-PERP": FEEDS["BTC-PERP"]}
    hermes = Hermes(httpx.AsyncClient(), feeds, guardians)
    assert hermes.symbols == {"BTC-PERP", "XBT-PERP"}
    assert hermes.proven(answer(update).encode()) == (BTC, replace(BTC, symbol="XBT-PERP"))


@given(st.lists(st.integers(1, 40)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_are_the_same_however_the_stream_is_cut(cuts, end):
    text = end.join(
        [
            b":hello",
            b"data:one",
            b"",
            b"id: 3",
            b"data: two",
            b"data:three",
            b"",
            b"",
            b"data:four",
            b"",
            b"x",
        ]
    )
    stream, events = EventStream(), []
    for size in [*cuts, len(text)]:
        piece, text = text[:size], text[size:]
        events += stream.feed(piece)
    assert events == [b"one", b"two\nthree", b"four"]


def test_an_event_without_end_is_refused():
    stream = EventStream()
    stream.feed(b"data:" + b"x" * (EVENT_BYTES_MAX - 5))
    with pytest.raises(Refused):
        stream.feed(b"x")
    with pytest.raises(Refused):
        EventStream().feed((b"data:" + b"x" * 1024 + b"\n") * 1024)
