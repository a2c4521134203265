"""The local Hyperliquid itself: units, money that balances, books that survive a kill, shapes as recorded, and what it does wrong."""

import gzip
import json

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import Side
from core.tickets import price_from, size_from
from venues.local.hyperliquid import ASSETS, LocalHyperliquid
from venues.local.hyperliquid_accounts import DOLLAR, Held, usd
from venues.local.hyperliquid_actions import Books, Deposit, Funding, Price, Signed
from venues.local.hyperliquid_info import View
from venues.local.hyperliquid_market import Asset, house, is_price, is_size, read, tick, written
from venues.local.hyperliquid_orders import Exchange

USERS = ("0x" + "a" * 40, "0x" + "b" * 40)
START = 1_700_000_000_000


@pytest.mark.parametrize(
    ("decimals", "price", "fits"),
    [
        (5, "60000", True),
        (5, "123456", True),
        (5, "60000.5", False),
        (5, "6000.5", True),
        (4, "1234.56", False),
        (4, "0.01", True),
        (4, "0.001", False),
        (0, "0.001234", True),
        (0, "0.0012345", False),
        (0, "0.012345", True),
        (1, "0.012345", False),
        (2, "1.0001", True),
        (2, "1.00011", False),
    ],
)
def test_five_significant_figures_and_six_decimals(decimals, price, fits):
    asset = Asset("X", decimals, 10, price_from("1"), size_from("1"))
    assert is_price(asset, price_from(price)) is fits


@given(st.integers(0, 5), st.integers(100, 10**15), st.sampled_from(Side))
def test_the_house_quotes_what_orders_may_say(decimals, price, side):
    asset = Asset("X", decimals, 10, price, size_from("1"))
    levels = house(asset, price, side)
    assert all(is_price(asset, level.price) and side * (level.price - price) > 0 for level in levels)
    assert [level.price for level in levels] == sorted((x.price for x in levels), reverse=side is Side.SELL)
    assert all(tick(asset, level.price) >= 1 and is_size(asset, level.size) for level in levels)


@given(st.integers(0, 10**16))
def test_numbers_are_read_as_they_must_be_signed(value):
    assert read(written(value).removesuffix(".0")) == value
    assert read(written(value)) == (None if written(value).endswith(".0") else value)


WIRES = st.builds(
    lambda asset, buy, away, lots, tif, reduce, cloid: {
        "a": asset,
        "b": buy,
        "p": written(int(ASSETS[asset].price * (1000 + away) // 1000 // 10**9 * 10**9)).removesuffix(".0"),
        "s": written(lots * 10**7).removesuffix(".0"),
        "r": reduce,
        "t": {"limit": {"tif": tif}},
        **({"c": f"0x{cloid:032x}"} if cloid else {}),
    },
    st.sampled_from([1, 3]),
    st.booleans(),
    st.integers(-20, 20),
    st.integers(1, 40),
    st.sampled_from(["Gtc", "Ioc", "Alo"]),
    st.booleans(),
    st.integers(0, 5),
)
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(USERS), st.builds(lambda w: {"type": "order", "orders": [w]}, WIRES)),
        st.tuples(
            st.sampled_from(USERS),
            st.builds(
                lambda a, c: {"type": "cancelByCloid", "cancels": [{"asset": a, "cloid": f"0x{c:032x}"}]},
                st.sampled_from([1, 3]),
                st.integers(1, 5),
            ),
        ),
        st.builds(
            lambda asset, away: Price(asset.name, asset.price * (1000 + away) // 1000 // 10**9 * 10**9),
            st.sampled_from([ASSETS[1], ASSETS[3]]),
            st.integers(-30, 30),
        ),
        st.builds(lambda rate: Funding("PAXG", rate), st.integers(-(10**5), 10**5)),
    ),
    max_size=40,
)


def play(commands):
    books = Books(Exchange(ASSETS))
    answers = [books.do(Deposit(user, 500_000_000_000), START) for user in USERS]
    for number, command in enumerate(commands, 1):
        if isinstance(command, tuple):
            command = Signed(*command, START + number)
        answers.append(books.do(command, START + number))
    return books, answers


@given(COMMANDS)
@settings(max_examples=150)
def test_money_positions_and_fills_say_the_same(commands):
    """Every account's cash and positions are what its fills and funding add up to, and no order did more than it was for."""
    books, answers = play(commands)
    exchange = books.exchange
    for user in USERS:
        account, fills = exchange.account(user), exchange.fills.get(user, [])
        cash = 500_000 * DOLLAR
        for fill in fills:
            cash += (price_from(fill["closedPnl"]) - price_from(fill["fee"])) * 10**8
        cash += sum(price_from(row["delta"]["usdc"]) for row in exchange.funding.get(user, [])) * 10**8
        # Realized profit is shown rounded down.
        assert 0 <= account.cash - cash <= len(fills) * 10**10
        for coin, held in account.positions.items():
            mine = [fill for fill in fills if fill["coin"] == coin]
            assert held.size == sum(size_from(f["sz"]) * (1 if f["side"] == "B" else -1) for f in mine)
            assert (held.size == 0) <= (held.cost == 0)
    for order in exchange.orders.values():
        done = [f for f in exchange.fills.get(order.user, []) if f["oid"] == order.oid]
        assert sum(size_from(fill["sz"]) for fill in done) == order.size - order.left
        assert all(order.side * (price_from(fill["px"]) - order.limit) <= 0 for fill in done)
        assert order.left >= 0
        assert (order.status == "filled") == (order.left == 0)
        assert order.tif != "Ioc" or order.status != "open"
    ids = [(f["time"], f["coin"], f["tid"], f["oid"]) for fills in exchange.fills.values() for f in fills]
    assert len(set(ids)) == len(ids)
    assert play(commands)[1] == answers


@given(COMMANDS)
@settings(max_examples=60)
def test_no_book_is_crossed(commands):
    exchange = play(commands)[0].exchange
    for coin in exchange.assets:
        bids, asks = exchange.levels(coin)
        assert price_from(bids[0]["px"]) < price_from(asks[0]["px"])


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.data(), st.sampled_from([1, -1]))
def test_what_closes_realizes_against_the_average(price, later, data, sign):
    size = data.draw(st.integers(1, 10**6))
    closed = data.draw(st.integers(1, size))
    held = Held()
    assert held.take(sign * size, price) == 0
    assert held.take(-sign * closed, later) == sign * closed * (later - price)
    assert (held.size, held.cost) == (sign * (size - closed), sign * (size - closed) * price)
    # What turns round closes all of it, and the rest is a new position.
    assert held.take(sign * -size, price + 1) == sign * (size - closed)
    assert (held.size, held.cost) == (-sign * closed, -sign * closed * (price + 1))


def test_nobody_trades_with_himself():
    books, _ = play([(USERS[0], order_of(p="3999.9")), (USERS[0], order_of(b=False, p="3999.9"))])
    exchange = books.exchange
    assert exchange.fills.get(USERS[0], []) == []
    assert [order.status for order in exchange.orders.values()] == ["selfTradeCanceled", "open"]


def order_of(**wire):
    wire = {"a": 3, "b": True, "p": "4100", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}, **wire}
    return {"type": "order", "orders": [wire]}


def test_reduce_only_orders_end_with_their_position():
    books = Books(Exchange(ASSETS))
    books.do(Deposit(USERS[0], 100_000_000_000), START)

    def order(number, **wire):
        return books.do(Signed(USERS[0], order_of(**wire), START + number), START + number)

    order(1)
    order(2, b=False, p="4200", r=True)
    (waiting,) = books.exchange.open_orders(USERS[0])
    order(3, b=False, p="3900", t={"limit": {"tif": "Ioc"}})
    assert books.exchange.open_orders(USERS[0]) == []
    assert waiting.status == "reduceOnlyCanceled"


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http, venue, path, **body):
    async with http.post(venue.url + path, json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_books_survive_a_kill(tmp_path, http):
    journal = tmp_path / "hyperliquid.jsonl"
    venue = LocalHyperliquid(journal=journal)
    await venue.start()
    for user in USERS:
        await ask(http, venue, "/control/deposit", user=user, usd="1000")
    await ask(http, venue, "/control/price", coin="PAXG", price="4100")
    wire = {"a": 3, "b": True, "p": "4200", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    answer = await venue.do(Signed(USERS[0], {"type": "order", "orders": [wire]}, venue._now_ms()))
    assert "filled" in answer["response"]["data"]["statuses"][0]
    asked = {"type": "clearinghouseState", "user": USERS[0]}
    before = await ask(http, venue, "/info", **asked)
    # Nothing is closed: a kill does not close either. The last line is what it cut short.
    with journal.open("ab") as file:
        file.write(b'{"at": 1, "comm')
    again = LocalHyperliquid(journal=journal)
    await again.start()
    after = await ask(http, again, "/info", **asked)
    assert {**after, "time": 0} == {**before, "time": 0}
    await ask(http, again, "/control/price", coin="PAXG", price="4000")
    third = LocalHyperliquid(journal=journal)
    assert third.books.exchange.prices["PAXG"] == price_from("4000")
    for one in (venue, again, third):
        await one.stop()


def shape(value):
    """Keys and kinds of values, without the values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else None


def within(recorded, ours):
    """Whether ours has every field of the recorded one, of the same kind."""
    if isinstance(recorded, dict):
        return isinstance(ours, dict) and all(
            key in ours and within(v, ours[key]) for key, v in recorded.items()
        )
    return recorded is None or ours is None or recorded == ours


async def test_answers_have_every_field_of_the_recorded_ones(recorded, data_file):
    books, _ = play(
        [
            (
                USERS[0],
                {
                    "type": "order",
                    "orders": [
                        {"a": 3, "b": True, "p": "4100", "s": "1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
                    ],
                },
            ),
            (
                USERS[0],
                {
                    "type": "order",
                    "orders": [
                        {"a": 3, "b": True, "p": "3900", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}}
                    ],
                },
            ),
            Funding("PAXG", 1000),
        ]
    )
    view = View(books, lambda: START)

    def ours(kind, **more):
        return view.answer({"type": kind, "user": USERS[0], "coin": "PAXG", "startTime": 0, **more})

    fills = json.loads(gzip.decompress(data_file("hyperliquid/info/userFills.json.gz").read_bytes()))
    rates = json.loads(gzip.decompress(data_file("hyperliquid/info/fundingHistory-BTC.json.gz").read_bytes()))
    assert within(shape(fills["response"][0]), shape(ours("userFills")[0]))
    assert within(shape(rates["response"][0]), shape(ours("fundingHistory")[0]))
    pairs = {
        "meta": lambda answer: answer["universe"][0],
        "allMids": lambda answer: next(iter(answer.items()))[1],
        "frontendOpenOrders": lambda answer: answer[0],
        "userFunding": lambda answer: answer[0],
        "userRateLimit": lambda answer: answer,
    }
    for kind, one in pairs.items():
        theirs = shape(one(recorded(f"hyperliquid/info/{kind}.json")["response"]))
        if kind == "frontendOpenOrders":
            del theirs["triggerCondition"], theirs["triggerPx"], theirs["isTrigger"]
        assert within(theirs, shape(one(ours(kind)))), kind
    book = recorded("hyperliquid/info/l2Book-DYDX.json")["response"]
    assert within(shape(book["levels"][0][0]), shape(ours("l2Book")["levels"][0][0]))
    theirs = recorded("hyperliquid/info/clearinghouseState-2023-03-27.json")["response"]
    state = ours("clearinghouseState")
    assert within(shape({k: v for k, v in theirs.items() if k != "assetPositions"}), shape(state))
    position = dict(theirs["assetPositions"][0]["position"])
    del position["maxTradeSzs"]  # No longer there since 2023.
    assert within(shape(position), shape(state["assetPositions"][0]["position"]))


async def test_what_it_does_wrong_on_request(http):
    venue = LocalHyperliquid()
    await venue.start()
    await venue.do(Deposit(USERS[0], 100_000_000_000))

    async def misbehave(**body):
        return await ask(http, venue, "/control/misbehaviour", **body)

    assert await misbehave(kind="rate_limit", times=2) == {"next": ["rate_limit"] * 2, "lasting": []}
    body = {"action": {"type": "order", "orders": []}, "nonce": 1, "signature": {}}
    for _ in range(2):
        async with http.post(venue.url + "/exchange", json=body) as response:
            assert response.status == 429
    async with http.post(venue.url + "/exchange", json=body) as response:
        assert (await response.json())["status"] == "err"
    await misbehave(kind="fail")
    async with http.post(venue.url + "/exchange", json=body) as response:
        assert response.status == 502
    await misbehave(kind="stale_book")
    before = await ask(http, venue, "/info", type="l2Book", coin="PAXG")
    await ask(http, venue, "/control/price", coin="PAXG", price="4500")
    assert await ask(http, venue, "/info", type="l2Book", coin="PAXG") == before
    await misbehave(kind="stale_book", times=0)
    assert await ask(http, venue, "/info", type="l2Book", coin="PAXG") != before
    async with http.ws_connect(venue.url + "/ws") as socket:
        await socket.send_json({"method": "ping"})
        assert await socket.receive_json() == {"channel": "pong"}
        await misbehave(kind="disconnect")
        assert (await socket.receive()).type in (
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
            aiohttp.WSMsgType.CLOSE,
        )
    async with http.post(venue.url + "/control/misbehaviour", json={"kind": "sing"}) as response:
        assert response.status == 400
    await misbehave(kind="fail")
    async with http.delete(venue.url + "/control/misbehaviour") as response:
        assert await response.json() == {"next": [], "lasting": []}
    await venue.stop()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"type": "sing"}', b'{"type": "l2Book", "coin": "NO"}', b"[1]"]
)
async def test_nonsense_is_answered_as_the_real_one_does(http, body):
    venue = LocalHyperliquid()
    await venue.start()
    async with http.post(venue.url + "/info", data=body) as response:
        assert response.status == 422
    await venue.stop()


def test_amounts_are_shown_rounded_down():
    assert usd(DOLLAR) == "1.0"
    assert usd(-1) == "-0.000001"
    assert usd(12_345 * 10**10 - 1) == "0.012344"
