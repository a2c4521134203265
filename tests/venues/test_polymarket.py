"""Polymarket's driver: what only this venue does, and real answers of it."""

import asyncio
import gzip
import json
import time
from dataclasses import replace
from decimal import Decimal

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from eth_account import Account
from py_clob_client_v2.clob_types import ApiCreds

from core.market import Side
from core.quantities import MILLION, SECOND, MicroUsdc
from core.tickets import (
    E8,
    OrderType,
    PriceE8,
    SizeE8,
    TimeInForce,
    notional_down,
    notional_up,
    price_from,
    size_from,
)
from venues.driver import Acknowledged, Cancelled, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown
from venues.local.hyperliquid_actions import Price
from venues.local.polymarket import LocalPolymarket
from venues.local.polymarket_books import MARKETS, Failed, Funded, Redeemed, Resolved
from venues.polymarket import LIVES_S, Polymarket
from venues.polymarket_stream import stirs
from venues.polymarket_wire import (
    LISTED_S,
    TOLD_LISTED_S,
    Fees,
    amounts,
    book_of,
    fee,
    loads,
    open_state,
    parts_of,
    positions_of,
    resolution_of,
    settled,
)
from venues.sent_orders import Sent

KEY = "0x" + "71" * 32
ADDRESS = Account.from_key(KEY).address
RAIN, SNOW = MARKETS
TOKEN = RAIN.tokens[0]


class Clock:
    """The real time, moved by tests."""

    ahead = 0

    def __call__(self):
        return time.time_ns() + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def venue(clock):
    made = LocalPolymarket(clock=clock)
    await made.start()
    made.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000, TOKEN, size_from("200")))
    yield made
    await made.stop()


@pytest.fixture
def opened(venue, clock, tmp_path):
    def opened(**terms):
        stream = f"{venue.url}/ws"
        return Polymarket(
            KEY, venue.url, venue.url, stream, tmp_path / "sent.db", clock, timeout_s=5, **terms
        )

    return opened


@pytest.fixture
async def driver(opened):
    made = opened()
    yield made
    await made.close()


def order(driver, ticket, side=Side.BUY, size="50", **terms):
    return VenueOrder(driver.client_id(ticket), TOKEN, side, size_from(size), **terms)


def limit(driver, ticket, price, **terms):
    terms = {"order_type": OrderType.LIMIT, "limit_price": price_from(price), **terms}
    return order(driver, ticket, **terms)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"leverage": 2}, Reason.LEVERAGE_INVALID),
        ({"time_in_force": TimeInForce.FOK}, Reason.NOT_SUPPORTED),
        ({"size": "4"}, Reason.TOO_SMALL),
        ({"size": "40000"}, Reason.INSUFFICIENT_MARGIN),
        ({"side": Side.SELL, "size": "201"}, Reason.INSUFFICIENT_MARGIN),
        ({"reduce_only": True}, Reason.WOULD_NOT_REDUCE),
        ({"order_type": OrderType.LIMIT, "limit_price": price_from("0.4005")}, Reason.ORDER_INVALID),
        ({"order_type": OrderType.LIMIT, "limit_price": price_from("1")}, Reason.ORDER_INVALID),
    ],
)
async def test_what_is_not_to_be_had_here(driver, terms, reason):
    answer = await driver.submit(order(driver, "a", **terms))
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert await driver.fills("") == ([], "", False)


async def test_reduce_only_sells_what_there_is(driver):
    answer = await driver.submit(order(driver, "a", Side.SELL, "500", reduce_only=True))
    assert (answer.order.status, answer.order.filled) == (OrderStatus.FILLED, size_from("200"))
    assert TOKEN not in await driver.positions()
    again = await driver.submit(order(driver, "b", Side.SELL, "10", reduce_only=True))
    assert again.reason is Reason.WOULD_NOT_REDUCE


async def test_an_order_that_shall_not_wait_is_cancelled_where_the_book_ends(driver, venue):
    answer = await driver.submit(order(driver, "a", size="15000", limit_price=price_from("0.503")))
    # Three levels of a thousand, at 0.501, 0.502 and 0.503.
    assert (answer.order.status, answer.order.filled) == (OrderStatus.CANCELLED, size_from("3000"))
    assert answer.average_price == price_from("0.502")
    assert venue.books.exchange.open_orders(ADDRESS.lower()) == []
    assert await driver.order(driver.client_id("a"), TOKEN) == answer.order


async def test_one_that_is_not_cancelled_ends_by_itself(driver, venue, clock, place_faults):
    """The process ended between sending and cancelling."""
    await place_faults(venue, "lose_reply")
    with pytest.raises(Unknown) as caught:
        await driver.submit(order(driver, "a", limit_price=price_from("0.45")))
    state = await driver.order(driver.client_id("a"), TOKEN)
    assert state.status is OrderStatus.OPEN
    assert 0 < caught.value.until - clock() <= (LIVES_S + LISTED_S) * SECOND
    clock.ahead = LIVES_S * SECOND
    venue.do(Price(TOKEN, price_from("0.4")))
    state = await driver.order(driver.client_id("a"), TOKEN)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, 0)


async def test_a_part_that_fills_at_once_is_all_there_is(driver, venue, place_faults):
    await place_faults(venue, "partial_fill")
    answer = await driver.submit(order(driver, "a", size="100"))
    assert (answer.order.status, answer.order.filled) == (OrderStatus.CANCELLED, size_from("50"))


async def test_the_same_client_id_is_the_same_order_whatever_is_lost(driver, opened, venue, place_faults):
    """Reply lost, process replaced, sent again: the venue has it once."""
    await place_faults(venue, "lose_reply")
    waiting = limit(driver, "a", "0.45")
    with pytest.raises(Unknown) as caught:
        await driver.submit(waiting)
    assert caught.value.until is None
    other = opened()
    answer = await other.submit(waiting)
    assert (answer.order.status, answer.order.filled) == (OrderStatus.OPEN, 0)
    assert len(venue.books.placed) == 1
    wrong = await other.submit(replace(waiting, side=Side.SELL))
    assert wrong.reason is Reason.CLIENT_ID_USED
    assert await other.cancel(waiting.client_id, TOKEN) == Cancelled(waiting.client_id)
    # Over is over: it is told, and not made anew.
    assert (await driver.submit(waiting)).order.status is OrderStatus.CANCELLED
    await other.close()


async def test_bytes_that_arrive_late_are_the_order_that_was_sent_again(driver, venue, place_faults):
    await place_faults(venue, "lose_request")
    waiting = limit(driver, "a", "0.45")
    with pytest.raises(Unknown):
        await driver.submit(waiting)
    kept = driver._sent.by_client_id(waiting.client_id)
    assert isinstance(await driver.submit(waiting), Acknowledged)
    assert list(venue.books.placed) == [kept.order_id]


async def test_what_has_expired_on_its_way_is_signed_anew(driver, venue, clock, place_faults):
    await place_faults(venue, "lose_request")
    now = order(driver, "a")
    with pytest.raises(Unknown):
        await driver.submit(now)
    first = driver._sent.by_client_id(now.client_id)
    clock.ahead = (LIVES_S + 1) * SECOND
    # A trade of the first may still be listed.
    assert (await driver.submit(now)).reason is Reason.TOO_LATE
    clock.ahead = (LIVES_S + LISTED_S + 1) * SECOND
    answer = await driver.submit(now)
    assert answer.order.status is OrderStatus.FILLED
    assert list(venue.books.placed) != [first.order_id]
    assert (await driver.positions())[TOKEN].size == size_from("250")


class Slow(LocalPolymarket):
    """Answers some seconds after it has judged how an order stands."""

    takes = 0

    async def _order(self, request):
        answer = await super()._order(request)
        self._clock.ahead += self.takes
        return answer


@pytest.fixture
async def slow(clock, tmp_path):
    venue = Slow(clock=clock)
    await venue.start()
    venue.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000, TOKEN, size_from("200")))
    driver = Polymarket(KEY, venue.url, venue.url, "", tmp_path / "slow.db", clock, timeout_s=5)
    yield venue, driver
    await driver.close()
    await venue.stop()


async def test_what_expires_while_the_venue_answers_is_not_signed_anew(slow, clock, place_faults):
    venue, driver = slow
    await place_faults(venue, "lose_request")
    now = order(driver, "a")
    with pytest.raises(Unknown):
        await driver.submit(now)
    first = driver._sent.by_client_id(now.client_id)
    clock.ahead, venue.takes = (LIVES_S + LISTED_S - 2) * SECOND, 4 * SECOND
    # When the venue was asked, a trade of the first might still be listed.
    assert (await driver.submit(now)).reason is Reason.TOO_LATE
    assert driver._sent.by_client_id(now.client_id) == first


# --- trades that are listed late ---


async def test_an_order_has_not_ended_while_a_trade_of_it_may_be_listed_before_the_answer(
    slow, clock, place_faults
):
    venue, driver = slow
    waiting = limit(driver, "a", "0.45", size="100")
    await driver.submit(waiting)
    await place_faults(venue, "late_trades")
    venue.do(Price(TOKEN, price_from("0.4")))
    assert (await driver.order(waiting.client_id, TOKEN)).status is OrderStatus.OPEN
    clock.ahead, venue.takes = (LISTED_S - 2) * SECOND, 4 * SECOND
    assert (await driver.order(waiting.client_id, TOKEN)).status is OrderStatus.OPEN


async def test_a_waiting_order_that_filled_is_not_called_cancelled_before_its_trade_is_listed(
    driver, opened, venue, clock, place_faults
):
    waiting = limit(driver, "a", "0.45", size="100")
    await driver.submit(waiting)
    await place_faults(venue, "late_trades")
    venue.do(Price(TOKEN, price_from("0.4")))
    assert (await driver.positions())[TOKEN].size == size_from("300")
    state = await driver.order(waiting.client_id, TOKEN)
    assert (state.status, state.filled) == (OrderStatus.OPEN, 0)
    clock.ahead = (LISTED_S - 2) * SECOND
    # Whoever goes on, in another process, counts from when the first one missed it.
    other = opened()
    assert (await other.order(waiting.client_id, TOKEN)).status is OrderStatus.OPEN
    await place_faults(venue, "late_trades", times=0)
    state = await other.order(waiting.client_id, TOKEN)
    assert (state.status, state.filled) == (OrderStatus.FILLED, size_from("100"))
    await other.close()


async def test_an_order_that_is_gone_has_ended_once_no_trade_of_it_can_be_listed(
    driver, venue, clock, place_faults
):
    waiting = limit(driver, "a", "0.45", size="100")
    await driver.submit(waiting)
    await place_faults(venue, "forget_ended")
    assert await driver.cancel(waiting.client_id, TOKEN) == Cancelled(waiting.client_id)
    assert (await driver.order(waiting.client_id, TOKEN)).status is OrderStatus.OPEN
    clock.ahead = (LISTED_S + 1) * SECOND
    state = await driver.order(waiting.client_id, TOKEN)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, 0)


async def test_what_the_answer_to_an_order_said_is_filled_is_waited_for_longer(
    driver, venue, clock, place_faults
):
    for kind in ("late_trades", "forget_ended", "partial_fill"):
        await place_faults(venue, kind)
    answer = await driver.submit(order(driver, "a", size="100"))
    assert (answer.order.status, answer.order.filled) == (OrderStatus.OPEN, size_from("50"))
    clock.ahead = (LISTED_S + 1) * SECOND
    assert await driver.order(driver.client_id("a"), TOKEN) == answer.order
    await place_faults(venue, "late_trades", times=0)
    state = await driver.order(driver.client_id("a"), TOKEN)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, size_from("50"))


async def test_what_the_venue_never_lists_never_was(driver, venue, clock, place_faults):
    await place_faults(venue, "late_trades")
    await place_faults(venue, "forget_ended")
    await place_faults(venue, "partial_fill")
    await driver.submit(order(driver, "a", size="100"))
    clock.ahead = (TOLD_LISTED_S + 1) * SECOND
    state = await driver.order(driver.client_id("a"), TOKEN)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, 0)


async def test_an_order_that_filled_whole_at_once_is_filled_while_its_trade_may_still_be_listed(
    driver, venue, clock, place_faults
):
    await place_faults(venue, "late_trades")
    answer = await driver.submit(order(driver, "a"))
    assert answer.order.status is OrderStatus.FILLED
    assert await driver.order(driver.client_id("a"), TOKEN) == answer.order
    # One that is never listed never was, and whoever waits for it shall not wait for ever.
    await place_faults(venue, "forget_ended")
    clock.ahead = (TOLD_LISTED_S + 1) * SECOND
    state = await driver.order(driver.client_id("a"), TOKEN)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, 0)


class Overtaken(LocalPolymarket):
    """Somebody takes what waits just before it would be cancelled."""

    async def _cancel(self, request):
        self.do(Price(TOKEN, price_from("0.4")))
        return await super()._cancel(request)


async def test_a_cancel_that_finds_nothing_is_no_word_that_nobody_was_there(tmp_path, clock, place_faults):
    venue = Overtaken(clock=clock)
    await venue.start()
    venue.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 10_000_000_000))
    await place_faults(venue, "late_trades")
    driver = Polymarket(KEY, venue.url, venue.url, "", tmp_path / "sent.db", clock)
    wanted = order(driver, "a", limit_price=price_from("0.45"))
    answer = await driver.submit(wanted)
    assert isinstance(answer, Acknowledged)
    assert answer.order.status is OrderStatus.OPEN
    await place_faults(venue, "late_trades", times=0)
    assert (await driver.order(wanted.client_id, TOKEN)).filled == size_from("50")
    await driver.close()
    await venue.stop()


async def test_a_trade_that_is_listed_behind_a_later_one_is_a_fill_all_the_same(
    driver, venue, clock, place_faults
):
    await driver.submit(order(driver, "a"))
    trades = venue.books.exchange.fills[ADDRESS.lower()]
    await place_faults(venue, "late_trades")
    clock.ahead = 20 * SECOND
    await driver.submit(order(driver, "b", size="10"))
    # The later one is listed first.
    late, listed = trades[0], trades[1:]
    trades[:] = listed
    await place_faults(venue, "late_trades", times=0)
    found, cursor, _ = await driver.fills("")
    assert [fill.size for fill in found] == [size_from("10")]
    trades.insert(0, late)
    more, cursor, _ = await driver.fills(cursor)
    assert [fill.size for fill in more] == [size_from("50")]
    assert (await driver.fills(cursor)).fills == []


def test_the_venues_words_of_how_an_order_stands():
    sent = Sent("c", "0x1", TOKEN, Side.BUY, size_from("10"), "{}", 0, 0)
    said = [("LIVE", "4"), ("ORDER_STATUS_LIVE", "4"), ("MATCHED", "4"), ("MATCHED", "10"), ("CANCELED", "4")]
    found = [open_state(sent, {"status": status, "size_matched": size}) for status, size in said]
    assert [(one.status, one.filled) for one in found] == [
        (OrderStatus.OPEN, size_from("4")),
        (OrderStatus.OPEN, size_from("4")),
        (OrderStatus.OPEN, size_from("4")),
        (OrderStatus.FILLED, size_from("10")),
        (OrderStatus.CANCELLED, size_from("4")),
    ]


async def test_a_trade_is_a_fill_when_the_chain_has_it(driver, venue):
    async def settling(yes):
        async with httpx.AsyncClient() as http:
            await http.post(f"{venue.url}/control/settling", json={"settling": yes})

    await settling(False)
    answer = await driver.submit(order(driver, "a"))
    assert answer.order.status is OrderStatus.FILLED
    assert await driver.fills("") == ([], "", False)
    await settling(True)
    (fill,), cursor, _ = await driver.fills("")
    assert (fill.client_id, fill.size) == (driver.client_id("a"), size_from("50"))
    assert (await driver.fills(cursor)).fills == []


async def test_fills_are_read_over_many_pages_and_once(driver, venue, place_faults, monkeypatch):
    monkeypatch.setattr("venues.local.polymarket_answers.PAGE", 2)
    for number in range(5):
        await driver.submit(order(driver, f"t{number}", size="10"))
    await place_faults(venue, "duplicate")
    fills, cursor, _ = await driver.fills("")
    assert [fill.client_id for fill in fills] == [driver.client_id(f"t{number}") for number in range(5)]
    assert (await driver.fills(cursor)).fills == []


async def test_what_is_taken_of_several_makers_costs_what_each_asked_for(driver, venue):
    """One trade, whose own price is the order's limit. The second maker's order is for the opposite token."""
    answer = await driver.submit(order(driver, "a", size="2500", limit_price=price_from("0.51")))
    assert answer.order.status is OrderStatus.FILLED
    (trade,) = (await driver._clob.private("GET", "/data/trades", f"maker_address={ADDRESS}"))["data"]
    assert (trade["size"], trade["price"], trade["trader_side"]) == ("2500", "0.51", "TAKER")
    asked = [(maker["asset_id"] == TOKEN, maker["price"]) for maker in trade["maker_orders"]]
    assert asked == [(True, "0.501"), (False, "0.498"), (True, "0.503")]
    fills, cursor, _ = await driver.fills("")
    assert sorted((fill.price, fill.size) for fill in fills) == [
        (price_from("0.501"), size_from("1000")),
        (price_from("0.502"), size_from("1000")),
        (price_from("0.503"), size_from("500")),
    ]
    assert sum(notional_up(fill.price, fill.size) for fill in fills) == 1_254_500_000
    assert {fill.client_id for fill in fills} == {driver.client_id("a")}
    assert len({fill.id for fill in fills}) == 3
    # A cursor of when a trade of a taker was one fill names it so, too: what such a one has told is not told again.
    assert cursor.partition("|")[2] == trade["id"]
    assert await driver.fills(cursor) == ([], cursor, False)


async def test_what_is_sold_to_several_makers_brings_what_each_gave(driver, venue):
    venue.do(Funded(ADDRESS.lower(), ADDRESS.lower(), 0, TOKEN, size_from("2000")))
    await driver.submit(order(driver, "a", Side.SELL, "2200", limit_price=price_from("0.4")))
    fills = (await driver.fills("")).fills
    assert sorted((fill.price, fill.size) for fill in fills) == [
        (price_from("0.497"), size_from("200")),
        (price_from("0.498"), size_from("1000")),
        (price_from("0.499"), size_from("1000")),
    ]
    assert sum(notional_down(fill.price, fill.size) for fill in fills) == 1_096_400_000


async def test_fees_are_the_markets(driver, venue):
    token = SNOW.tokens[0]
    await driver.submit(replace(order(driver, "a", size="100"), symbol=token))
    (fill,) = (await driver.fills("")).fills
    assert (fill.price, fill.fee) == (price_from("0.21"), 1_194_480)
    # A maker pays nothing there.
    await driver.submit(replace(limit(driver, "b", "0.19", size="100"), symbol=token))
    venue.do(Price(token, price_from("0.15")))
    assert [fill.fee for fill in (await driver.fills("")).fills] == [1_194_480, 0]


@pytest.mark.parametrize("kind", [1, 2, 3])
async def test_wallets_that_are_not_the_key_itself(venue, opened, kind):
    wallet = "0x" + f"{kind}a" * 20
    venue.do(Funded(wallet, ADDRESS.lower(), 1_000_000_000))
    driver = opened(wallet=wallet, wallet_kind=kind)
    assert isinstance(await driver.submit(order(driver, "a")), Acknowledged)
    assert {token: held.size for token, held in (await driver.positions()).items()} == {
        TOKEN: size_from("50")
    }
    (fill,) = (await driver.fills("")).fills
    assert fill.client_id == driver.client_id("a")
    await driver.close()


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
async def test_an_order_signed_as_of_another_kind_of_wallet_is_refused(venue, opened, kind):
    """As at the real exchange: 0 is for the key's own address alone, the others for what is not."""
    wallet = "0x" + "0a" * 20 if kind == 0 else ADDRESS
    venue.do(Funded(wallet.lower(), ADDRESS.lower(), 1_000_000_000))
    driver = opened(wallet=wallet, wallet_kind=kind)
    answer = await driver.submit(order(driver, "a"))
    assert isinstance(answer, Refused)
    assert answer.words == "invalid signature"
    assert venue.books.placed == {}
    await driver.close()


@pytest.mark.parametrize(("price", "other"), [("1", "0"), ("0", "1"), ("0.5", "0.5")])
async def test_a_market_that_has_ended_is_what_it_ended_at_and_no_order_is_taken(
    driver, venue, price, other, monkeypatch
):
    token, opposite = RAIN.tokens
    assert not (await driver.mids([token]))[token].final
    venue.do(Resolved(token, price_from(price)))
    mids = await driver.mids([token, opposite, SNOW.tokens[0], "1", "no token"])
    assert {name: (mid.price, mid.final) for name, mid in mids.items()} == {
        token: (price_from(price), True),
        opposite: (price_from(other), True),
        SNOW.tokens[0]: (price_from("0.2"), False),
    }
    refused = await driver.submit(order(driver, "a"))
    assert refused.reason is Reason.SYMBOL_UNKNOWN
    assert (await driver.positions())[token].size == size_from("200")
    before = venue.books.exchange.account(ADDRESS.lower()).cash
    worth = venue.books.exchange.account(ADDRESS.lower()).held(token).cost
    venue.do(Redeemed(ADDRESS.lower(), token))
    assert token not in await driver.positions()
    gained = 200 * E8 * price_from(price) - worth
    assert venue.books.exchange.account(ADDRESS.lower()).cash - before == gained


class Halting(LocalPolymarket):
    """One book of it cannot be read."""

    def _book(self, token):
        if token == TOKEN:
            raise Failed(500, "a book is lost")
        return super()._book(token)


async def test_a_book_that_cannot_be_read_leaves_the_others_their_prices(tmp_path, clock):
    venue = Halting(clock=clock)
    await venue.start()
    driver = Polymarket(KEY, venue.url, venue.url, "", tmp_path / "sent.db", clock)
    mids = await driver.mids([TOKEN, SNOW.tokens[0]])
    assert {name: mid.price for name, mid in mids.items()} == {SNOW.tokens[0]: price_from("0.2")}
    with pytest.raises(Unavailable, match="a book is lost"):
        await driver.mids([TOKEN])
    await driver.close()
    await venue.stop()


async def test_nonsense_is_no_answer(tmp_path, clock, venue, monkeypatch):
    driver = Polymarket(KEY, venue.url, f"{venue.url}/ok?", "", tmp_path / "sent.db", clock)
    with pytest.raises(Unavailable):
        await driver.positions()
    await driver.close()


async def test_the_stream_stirs_and_ends_with_its_connection(driver, venue, place_faults):
    news = driver.stirs()
    async with asyncio.timeout(20):
        await anext(news)
        await driver.submit(limit(driver, "a", "0.45"))
        await anext(news)
        await place_faults(venue, "disconnect")
        assert [one async for one in news] == []
        await venue.stop()
        with pytest.raises(Unavailable, match="its stream"):
            await anext(driver.stirs())


async def test_pings_keep_the_stream_and_stir_nobody(driver, venue, monkeypatch):
    monkeypatch.setattr("venues.polymarket_stream.PING_S", 0.01)
    news = driver.stirs()
    async with asyncio.timeout(20):
        await anext(news)
        waiting = asyncio.ensure_future(anext(news))
        # Many pings' time: none of their answers is taken for news.
        assert await asyncio.wait({waiting}, timeout=0.3) == (set(), {waiting})
        await driver.submit(order(driver, "a"))
        await waiting
    await news.aclose()


async def test_a_stream_that_answers_no_ping_is_none(monkeypatch):
    async def deaf(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    monkeypatch.setattr("venues.polymarket_stream.PING_S", 0.02)
    app = web.Application()
    app.add_routes([web.get("/ws/user", deaf)])
    async with TestServer(app) as server, asyncio.timeout(20):
        url, credentials = str(server.make_url("/ws")), ApiCreds("key", "secret", "passphrase")
        # Once for the connection, and then it ends.
        assert len([one async for one in stirs(url, credentials)]) == 1


async def test_what_the_stream_tells_has_the_recorded_shape(driver, venue, recorded):
    own = await driver._clob.entered()
    auth = {"apiKey": own.api_key, "secret": own.api_secret, "passphrase": own.api_passphrase}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{venue.url}/ws/user") as socket, asyncio.timeout(20):
            await socket.send_json({"auth": {**auth, "secret": "made up"}, "markets": [], "type": "user"})
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        async with session.ws_connect(f"{venue.url}/ws/user") as socket, asyncio.timeout(20):
            await socket.send_json({"auth": auth, "markets": [], "type": "user"})
            await socket.send_str("PING")
            assert await socket.receive_str() == "PONG"
            waiting = limit(driver, "a", "0.45")
            await driver.submit(waiting)
            placed = await socket.receive_json()
            await driver.cancel(waiting.client_id, TOKEN)
            cancelled = await socket.receive_json()
            await driver.submit(limit(driver, "b", "0.55"))
            filled, trade = await socket.receive_json(), await socket.receive_json()
    assert placed.keys() == recorded("polymarket/ws-order_placement.json").keys()
    assert cancelled.keys() == recorded("polymarket/ws-order_cancel.json").keys()
    types = [told["type"] for told in (placed, cancelled, filled, trade)]
    assert types == ["PLACEMENT", "CANCELLATION", "UPDATE", "TRADE"]
    assert (filled["status"], filled["size_matched"]) == ("MATCHED", "50")
    assert recorded("polymarket/ws-user_trade1.json").keys() <= trade.keys()


# --- real answers ---


def test_a_recorded_book(recorded):
    book = book_of(recorded("polymarket/http-book.json"))
    assert (book.bid, book.ask) == (price_from("0.1"), price_from("0.14"))
    assert book.mid.price == price_from("0.12")
    assert book.at == 1_728_799_418_260_000_000


def test_a_recorded_trade_of_a_taker(recorded):
    (part,) = parts_of(recorded("polymarket/ws-trades.json"), "0xa3D82Ed56F4c68d2328Fb8c29e568Ba2cAF7d7c8")
    assert (part.side, part.size, part.price) == (Side.BUY, size_from("5"), price_from("0.489"))
    assert part.order_id == "0x4505aada9831d06078a005c8ec96396a78c8f06035bf763b40fc16d27a250043"
    assert part.id == "0c357886-b9d3-44bb-9aa9-72d8abc90e6e"
    assert settled([part]) == [part]


def test_a_recorded_trade_of_six_makers_as_their_taker_has_it(recorded):
    """What the makers got, and not what the taker would have given at most."""
    row = {**recorded("polymarket/ws-user_trade1.json"), "trader_side": "TAKER", "price": "0.53"}
    parts = parts_of(row, "0x")
    assert {(part.symbol, part.side, part.order_id) for part in parts} == {
        (row["asset_id"], Side.BUY, row["taker_order_id"])
    }
    assert sum(part.size for part in parts) == size_from(row["size"])
    # 1,086.87 at 0.518 of the same token, and 10 with whoever gave 0.482 for the opposite one.
    assert sum(notional_up(part.price, part.size) for part in parts) == 568_178_660
    assert len({part.id for part in parts}) == 6
    assert {part.told for part in parts} == {row["id"]}


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_with_the_opposite_token_a_taker_has_the_rest_of_a_dollar(side):
    makers = [maker("0xa", "2", "3.000001", "0.619"), maker("0xb", "1", "2", "0.38")]
    parts = parts_of({**row(1, "CONFIRMED", 5), "side": side, "maker_orders": makers}, "0x")
    assert [(part.symbol, part.size, part.price) for part in parts] == [
        ("1", size_from("3.000001"), price_from("0.381")),
        ("1", size_from("2"), price_from("0.38")),
    ]
    assert {part.side for part in parts} == {Side[side]}
    # The makers of a purchase had 1 - 0.619 and 0.38 dollars a share of the taker: exactly so much, in 1e-16 dollars.
    assert (
        sum(part.size * part.price for part in parts) == 300_000_100 * 38_100_000 + 200_000_000 * 38_000_000
    )


def test_a_trade_that_names_no_makers_says_nothing_of_its_cost():
    with pytest.raises(ValueError, match="nothing of what was paid"):
        parts_of({**row(1, "CONFIRMED", 5), "maker_orders": []}, "0x")


def test_a_recorded_trade_of_makers_of_both_tokens(recorded):
    row = {**recorded("polymarket/ws-user_trade1.json"), "trader_side": "MAKER"}
    taker = Side.BUY if row["side"] == "BUY" else Side.SELL
    same, opposite = (
        parts_of(row, address)[0]
        for address in (
            "0xa3d82ed56f4c68d2328fb8c29e568ba2caf7d7c8",
            "0xFfd192468b7a05b38c37C82d09fA941289FaEB23",
        )
    )
    assert (same.side, same.size, same.symbol) == (Side(-taker), size_from("5"), row["asset_id"])
    assert (opposite.side, opposite.size, opposite.price) == (taker, size_from("10"), price_from("0.482"))
    assert opposite.symbol != row["asset_id"]


def test_all_recorded_markets_have_ticks_that_orders_can_be_priced_in(data_file):
    text = gzip.decompress(data_file("polymarket/http-markets-part1.json.gz").read_bytes())
    rows = loads(text)
    rows = rows["data"] if isinstance(rows, dict) else rows
    ticks = {price_from(str(row["minimum_tick_size"])) for row in rows}
    assert ticks
    assert all(E8 % tick == 0 and tick >= 10_000 for tick in ticks)


def test_published_fees(data_file):
    for one in json.loads(data_file("vectors/polymarket-fees.json").read_text(), parse_float=Decimal)[
        "vectors"
    ]:
        given = one["inputs"]
        price = price_from(str(given["price"]))
        shares = SizeE8(int(given["amount_usd"] * E8 * E8) // price)
        expected = one["expected"]["platform_fee_usd"] * MILLION
        found = fee(Fees(given["fee_rate"], int(given["fee_exponent"]), True), shares, price)
        assert expected <= found < expected + 1, one["id"]


def test_recorded_markets_say_what_they_ended_at(data_file, recorded):
    rows = loads(gzip.decompress(data_file("polymarket/http-markets-part1.json.gz").read_bytes()))["data"]
    ended = [row for row in rows if row["closed"]]
    known = 0
    for row in ended:
        found = {one["token_id"]: resolution_of(row, one["token_id"]) for one in row["tokens"]}
        known += None not in found.values()
        assert set(found.values()) in ({0, E8}, {None})
        assert all(found[one["token_id"]] == E8 for one in row["tokens"] if one["winner"])
    # Of some markets of the first years the venue names no winner and has prices of anything: those say nothing.
    assert (len(ended), known) == (64, 38)
    going_on = recorded("polymarket/http-market.json")
    assert [resolution_of(going_on, one["token_id"]) for one in going_on["tokens"]] == [None, None]


@pytest.mark.parametrize(
    ("prices", "winners", "halves", "expected"),
    [
        ((1, 0), (True, False), False, (E8, 0)),
        ((0.999, 0.001), (False, True), False, (0, E8)),
        ((0.5, 0.5), (False, False), True, (E8 // 2, E8 // 2)),
        # Closed, and nobody has said yet how it ended.
        ((0.5, 0.5), (False, False), False, (None, None)),
        ((0.999, 0.001), (False, False), False, (None, None)),
        ((0, 0), (False, False), False, (None, None)),
    ],
)
def test_a_closed_market_has_ended_when_it_says_how(prices, winners, halves, expected):
    tokens = [
        {"token_id": name, "price": Decimal(str(price)), "winner": won}
        for name, price, won in zip("ab", prices, winners, strict=True)
    ]
    row = {"closed": True, "is_50_50_outcome": halves, "tokens": tokens}
    assert (resolution_of(row, "a"), resolution_of(row, "b")) == expected
    assert resolution_of({**row, "closed": False}, "a") is None


# --- rules ---


def row(number, status, second):
    return {
        "id": f"t{number}",
        "taker_order_id": "0x1",
        "market": "0xa",
        "asset_id": "1",
        "side": "BUY",
        "size": "5",
        "price": "0.5",
        "status": status,
        "match_time": str(second),
        "trader_side": "TAKER",
        "maker_orders": [maker("0x2", "1", "5", "0.5")],
    }


def maker(name, token, size, price):
    given = {"order_id": name, "maker_address": "0x9", "asset_id": token}
    return {**given, "matched_amount": size, "price": price}


def test_nothing_is_told_behind_what_may_still_fail():
    rows = [(1, "CONFIRMED", 5), (2, "FAILED", 6), (3, "TRADE_STATUS_CONFIRMED", 7), (4, "RETRYING", 8)]
    rows += [(5, "CONFIRMED", 8), (6, "CONFIRMED", 9)]
    parts = [part for one in reversed(rows) for part in parts_of(row(*one), "0x")]
    assert [part.id for part in settled(parts)] == ["t1", "t3"]


def test_a_fill_counts_from_the_end_of_the_second_that_the_venue_tells():
    """A snapshot of 5.3 s that was taken before a fill of 5.7 s must not have it, whoever looks when."""
    (part,) = parts_of(row(1, "CONFIRMED", 5), "0x")
    assert part.fill(None, MicroUsdc(0)).at == 5_999_999_999


@pytest.mark.parametrize("side", Side)
def test_amounts_are_exact_or_none(side):
    given = amounts(side, size_from("33.33"), price_from("0.551"))
    assert sorted(given) == [18_364_830, 33_330_000]
    assert (given[0] < given[1]) is (side is Side.BUY)
    for size, price in ((SizeE8(1), price_from("0.5")), (size_from("0.01"), PriceE8(E8 // 2 + 1))):
        with pytest.raises(ValueError, match="whole number"):
            amounts(side, size, price)


def test_positions_are_cut_to_what_the_chain_counts():
    rows = loads(
        '[{"asset":"1","size":10.12345678,"avgPrice":0.123},{"asset":"2","size":0.0000001,"avgPrice":1}]'
    )
    found = positions_of(rows)
    assert {token: held.size for token, held in found.items()} == {"1": size_from("10.123456")}
    assert found["1"].entry_price == price_from("0.123")
