"""Hyperliquid's driver: the venue's published signatures, recorded answers, and what only this venue does."""

import asyncio
import gzip
import json
import time
from pathlib import Path

import pytest
from aiohttp import web
from eth_account import Account
from hyperliquid.utils.signing import (
    action_hash,
    order_wires_to_order_action,
    sign_usd_transfer_action,
)
from hypothesis import given
from hypothesis import strategies as st

from core.market import Side
from core.quantities import MILLISECOND, Nanos, NotAQuantity
from core.tickets import PRICE_MAX, SIZE_MAX, OrderType, TimeInForce, e8_text, price_from, size_from
from venues.budget import Turn, looking
from venues.driver import Acknowledged, OrderState, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown
from venues.hyper import EXPIRES_MS, Hyper
from venues.hyper_wire import (
    fill_of,
    is_refusal,
    mid_of,
    open_orders_of,
    order_of,
    order_wire,
    positions_of,
    signed,
    worst_price,
)
from venues.local.hyperliquid import LocalHyperliquid
from venues.local.hyperliquid_actions import Deposit, Funding, Price
from venues.local.hyperliquid_market import Asset, is_price
from venues.local.hyperliquid_signatures import action_hash as our_hash
from venues.local.hyperliquid_signatures import signer

FILE = "hyperliquid-signing.json"
VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "vectors" / FILE
KNOWN = json.loads(VECTORS.read_text())["vectors"] if VECTORS.is_file() else []
LISTED = json.dumps({"universe": [{"name": "PAXG", "szDecimals": 3}]})
WALLET = Account.from_key("0x" + "11" * 32)
TIFS = {"Gtc": TimeInForce.GTC, "Ioc": TimeInForce.IOC}


def action_of(inputs):
    """The action of a vector, its orders as this driver writes them."""
    if "order" not in inputs:
        return inputs["action"]
    asked = inputs["order"]
    limit = price_from(
        format(asked["limit_px"], "f") if asked["limit_px"] % 1 else str(int(asked["limit_px"]))
    )
    terms = asked["order_type"]
    tif = terms.get("limit", {}).get("tif", "Gtc")
    side = Side.BUY if asked["is_buy"] else Side.SELL
    order = VenueOrder(
        "", asked["coin"], side, size_from(str(asked["sz"])), OrderType.LIMIT, limit, TIFS[tif]
    )
    wire = order_wire(inputs["asset"], order, limit, tif)
    if asked["cloid"] is None:
        del wire["c"]
    else:
        wire["c"] = asked["cloid"]
    if "trigger" in terms:
        trigger = terms["trigger"]
        wire["t"] = {"trigger": {**trigger, "triggerPx": str(trigger["triggerPx"])}}
        wire["t"]["trigger"] = {key: wire["t"]["trigger"][key] for key in ("isMarket", "triggerPx", "tpsl")}
    return order_wires_to_order_action([wire])


@pytest.mark.parametrize("vector", KNOWN, ids=[vector["id"] for vector in KNOWN])
def test_signatures_are_those_that_the_venue_published(vector):
    inputs, expected = vector["inputs"], vector["expected"]
    match vector["scheme"]:
        case "l1_action":
            wallet = Account.from_key(vector["private_key"])
            mainnet, vault = inputs["network"] == "mainnet", inputs["vault"]
            bound = inputs["nonce"], inputs["expires_after"], vault
            body = signed(wallet, action_of(inputs), *bound, mainnet)
            assert body["signature"] == expected
            # And the local venue finds out who that was.
            who = signer(body["action"], inputs["nonce"], expected, vault, inputs["expires_after"], mainnet)
            assert who == wallet.address.lower()
        case "user_signed_usd_transfer":
            wallet, action = Account.from_key(vector["private_key"]), dict(inputs["message"])
            mainnet = inputs["network"] == "mainnet"
            assert sign_usd_transfer_action(wallet, action, mainnet) == expected
            sent = {"type": "usdSend", **action}
            assert signer(sent, action["time"], expected, None, None, mainnet) == wallet.address.lower()
        case "action_hash":
            action = action_of(inputs)
            connection = expected["connectionId"].removeprefix("0x")
            assert action_hash(action, inputs["vault"], inputs["nonce"], None).hex() == connection
            assert our_hash(action, inputs["nonce"], inputs["vault"], None).hex() == connection
        case "float_to_int_for_hashing":
            text = format(inputs["x"], ".12f").rstrip("0").rstrip(".")
            if expected == "error":
                with pytest.raises(NotAQuantity):
                    size_from(text)
            else:
                assert size_from(text) == expected


def test_all_published_vectors_are_here(data_file):
    assert len(json.loads(data_file(f"vectors/{FILE}").read_text())["vectors"]) == len(KNOWN) == 15


@given(st.integers(1, PRICE_MAX), st.integers(1, SIZE_MAX), st.sampled_from(Side), st.booleans())
def test_what_is_signed_is_exact(price, size, side, reduce_only):
    """Also where a float would not be: sixteen figures and more."""
    order = VenueOrder("0x" + "0" * 32, "BTC", side, size, OrderType.LIMIT, price, reduce_only=reduce_only)
    wire = order_wire(0, order, price, "Gtc")
    assert (price_from(wire["p"]), size_from(wire["s"])) == (price, size)
    assert e8_text(price_from(wire["p"])) == wire["p"]
    assert (wire["b"], wire["r"]) == (side is Side.BUY, reduce_only)


@given(st.integers(10**4, 10**15), st.sampled_from(Side), st.integers(0, 5))
def test_the_worst_price_is_one_that_the_venue_takes(mid, side, decimals):
    worst = worst_price(mid, side, decimals)
    asset = Asset("X", decimals, 10, mid, 1)
    assert worst == 0 or is_price(asset, worst)
    assert side * (worst - mid) * 20 <= mid


@pytest.fixture
async def venue():
    made = LocalHyperliquid()
    await made.start()
    await made.do(Deposit(WALLET.address, 10_000_000_000))
    yield made
    await made.stop()


@pytest.fixture
async def driver(venue):
    opened = Hyper(WALLET, venue.url, time.time_ns, timeout_s=5)
    yield opened
    await opened.close()


@pytest.fixture
async def answering():
    """A driver of a venue that lists PAXG and gives one answer to all else; and what it is asked."""
    running = []

    async def start(body):
        asked = []

        async def handle(request):
            asked.append(await request.json())
            return web.Response(text=LISTED if asked[-1].get("type") == "meta" else body)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        driver = Hyper(WALLET, f"http://127.0.0.1:{runner.addresses[0][1]}", time.time_ns)
        running.append((driver, runner))
        return driver, asked

    yield start
    for driver, runner in running:
        await driver.close()
        await runner.cleanup()


def order(driver, ticket, side=Side.BUY, size="1", **terms):
    return VenueOrder(driver.client_id(ticket), "PAXG", side, size_from(size), **terms)


def test_recorded_fills_are_read(data_file, recorded):
    rows = json.loads(gzip.decompress(data_file("hyperliquid/info/userFills.json.gz").read_bytes()))[
        "response"
    ]
    fills = [fill_of({"tid": 1, **row}) for row in rows]
    assert [(fill.size, fill.price) for fill in fills] == [
        (size_from(row["sz"]), price_from(row["px"])) for row in rows
    ]
    liquidated = recorded("hyperliquid/info/userFills-liquidations-2026.json")["response"][1]
    read = fill_of(liquidated)
    assert (read.symbol, read.side, read.client_id, read.fee) == ("HYPE", Side.SELL, None, 47_504)
    assert read.at == 1_768_931_202_995 * MILLISECOND
    streamed = recorded("hyperliquid/ws/ws_user_fill_liquidation.json")["data"]["fills"][0]
    assert fill_of(streamed).client_id == "0xe8d5fd7ebbb4c3cff4d1803472a11463"


def test_recorded_positions_and_books_are_read(recorded):
    state = recorded("hyperliquid/info/clearinghouseState-2023-03-27.json")["response"]
    held = positions_of(state)
    assert len(held) == len(state["assetPositions"])
    assert held["BTC"].size == -785_000
    assert held["ETH"].entry_price == price_from("1705.82")
    mid = mid_of(recorded("hyperliquid/info/http_l2_book_btc.json"))
    assert (mid.price, mid.at) == (price_from("110427.5"), 1_761_786_491_067 * MILLISECOND)
    assert mid_of({"levels": [[], [{"px": "1"}]], "time": 1}) is None


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("open", OrderStatus.OPEN),
        ("filled", OrderStatus.FILLED),
        ("canceled", OrderStatus.CANCELLED),
        ("marginCanceled", OrderStatus.CANCELLED),
        ("scheduledCancel", OrderStatus.CANCELLED),
        ("iocCancelRejected", OrderStatus.REJECTED),
        ("rejected", OrderStatus.REJECTED),
    ],
)
def test_the_venues_many_statuses(status, meaning):
    found = {"oid": 1, "coin": "X", "side": "A", "origSz": "2.0", "sz": "0.5"}
    state = order_of("c", {"order": found, "status": status})
    assert (state.status, state.filled, state.side) == (meaning, 150_000_000, Side.SELL)


async def test_leverage_is_set_before_the_order(driver, venue):
    asset = venue.books.exchange.assets["PAXG"]
    assert isinstance(await driver.submit(order(driver, "a", leverage=3)), Acknowledged)
    late = await driver.submit(order(driver, "late", leverage=4, not_after=Nanos(1)))
    assert (late.reason, late.retryable) == (Reason.TOO_LATE, False)
    assert venue.books.exchange.account(WALLET.address.lower()).leverage_of(asset) == (3, True)
    refused = await driver.submit(order(driver, "b", leverage=11))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.LEVERAGE_INVALID
    assert await driver.order(driver.client_id("b"), "PAXG") is None


async def test_what_only_reduces_leaves_the_leverage_alone(driver, venue):
    asset = venue.books.exchange.assets["PAXG"]
    await driver.submit(order(driver, "a", leverage=3))
    less = order(driver, "b", Side.SELL, leverage=9, reduce_only=True)
    assert isinstance(await driver.submit(less), Acknowledged)
    assert venue.books.exchange.account(WALLET.address.lower()).leverage_of(asset) == (3, True)


async def test_a_lost_setting_of_leverage_is_no_lost_order(driver, venue, place_faults):
    await place_faults(venue, "lose_reply")
    with pytest.raises(Unavailable):
        await driver.submit(order(driver, "a", leverage=3))
    assert await driver.order(driver.client_id("a"), "PAXG") is None


@pytest.mark.parametrize(
    ("reason", "terms"),
    [
        (Reason.TOO_SMALL, {"size": "0.002"}),
        (Reason.INSUFFICIENT_MARGIN, {"size": "49.9", "limit_price": price_from("4100")}),
        (Reason.ORDER_INVALID, {"limit_price": price_from("4000.05")}),
        (Reason.PRICE_TOO_FAR, {"limit_price": price_from("9000")}),
    ],
)
async def test_the_venues_words_have_a_meaning(driver, reason, terms):
    terms = {"order_type": OrderType.LIMIT, "limit_price": price_from("4000"), **terms}
    answer = await driver.submit(order(driver, "a", **terms))
    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert (await driver.order(driver.client_id("a"), "PAXG")).status is OrderStatus.REJECTED


async def test_a_key_that_is_nobodys(venue):
    stranger = Hyper(Account.from_key("0x" + "12" * 32), venue.url, time.time_ns)
    answer = await stranger.submit(order(stranger, "a"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.UNAUTHORIZED
    await stranger.close()


async def test_a_partly_filled_order_is_told_as_it_stands(driver, venue, place_faults):
    await place_faults(venue, "partial_fill", 2)
    answer = await driver.submit(order(driver, "a"))
    assert (answer.order.status, answer.order.filled) == (OrderStatus.CANCELLED, size_from("0.5"))
    resting = order(driver, "b", order_type=OrderType.LIMIT, limit_price=price_from("4100"))
    answer = await driver.submit(resting)
    assert (answer.order.status, answer.order.filled) == (OrderStatus.OPEN, size_from("0.5"))


async def test_what_comes_too_late_is_not_taken(venue):
    """The clock of whoever signed has stood still since: as if the request had been on its way for so long."""
    late = Hyper(WALLET, venue.url, lambda: time.time_ns() - (EXPIRES_MS + 1_000) * MILLISECOND)
    answer = await late.submit(order(late, "a"))
    assert isinstance(answer, Refused)
    assert "expired" in answer.words
    assert await late.order(late.client_id("a"), "PAXG") is None
    await late.close()


async def test_a_lost_order_says_when_it_can_come_no_more(driver, venue, place_faults):
    await place_faults(venue, "lose_request")
    with pytest.raises(Unknown) as lost:
        await driver.submit(order(driver, "a"))
    assert lost.value.until > time.time_ns()
    assert lost.value.until <= time.time_ns() + EXPIRES_MS * MILLISECOND


async def test_a_venue_that_says_nothing_is_given_up(venue, place_faults):
    driver = Hyper(WALLET, venue.url, time.time_ns, timeout_s=0.3)
    await place_faults(venue, "time_out")
    with pytest.raises(Unknown):
        await driver.submit(order(driver, "a"))
    assert (await driver.order(driver.client_id("a"), "PAXG")).status is OrderStatus.FILLED
    await driver.close()


async def test_an_error_of_the_server_leaves_everything_open(driver, venue, place_faults):
    await place_faults(venue, "fail")
    with pytest.raises(Unknown):
        await driver.submit(order(driver, "a"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '{"status": "ok"}',
        '{"status": "ok", "response": {"data": {"statuses": [{"new": 1}]}}}',
        '{"status": "ok", "response": {"data": {"statuses": [{"filled": {}}]}}}',
        '{"status": "ok", "response": {"data": {"statuses": [{"filled": null}]}}}',
        '{"status": "ok", "response": {"data": {"statuses": [{"filled": {"totalSz": "1", "avgPx": null, "oid": 1}}]}}}',
        '{"status": "ok", "response": {"data": {"statuses": [{"filled": {"totalSz": "0.000000001", "avgPx": "1", "oid": 1}}]}}}',
    ],
)
async def test_an_answer_that_is_none_of_the_venues_leaves_everything_open(body, answering):
    """And whatever it says to a question is no answer: least of all that it knows nothing."""
    driver, _ = await answering(body)
    with pytest.raises(Unknown):
        await driver.submit(order(driver, "a", limit_price=price_from("4000")))
    with pytest.raises(Unknown):
        await driver.cancel(driver.client_id("a"), "PAXG")
    for asking in (driver.order("0x", "PAXG"), driver.positions(), driver.mids(["PAXG"])):
        with pytest.raises(Unavailable):
            await asking


async def test_a_recorded_acknowledgement_is_read(answering, recorded):
    answers = recorded("hyperliquid/exchange/order-response-market-and-tpsl-2026.json")["responses"]
    driver, _ = await answering(json.dumps(answers[0]))
    answer = await driver.submit(order(driver, "a", limit_price=price_from("26")))
    assert answer.order.status is OrderStatus.FILLED
    assert (answer.order.venue_id, answer.order.filled) == ("296683658818", size_from("1"))
    assert answer.average_price == price_from("25.585")
    # Three statuses are the answer to an order with two others tied to it, which this driver never sends.
    driver, _ = await answering(json.dumps(answers[1]))
    with pytest.raises(Unknown):
        await driver.submit(order(driver, "b", limit_price=price_from("26")))


async def test_a_symbol_that_is_not_there_is_not_looked_for_all_the_time(answering):
    driver, asked = await answering("{}")
    for _ in range(5):
        assert await driver.mids(["NO-SUCH-THING", "NOR-THIS"]) == {}
    assert [body["type"] for body in asked] == ["meta"]


async def test_fills_told_twice_count_once(driver, venue, place_faults):
    await place_faults(venue, "duplicate")
    await driver.submit(order(driver, "a"))
    fills, cursor, _ = await driver.fills("")
    assert sum(fill.size for fill in fills) == size_from("1")
    assert await driver.fills(cursor) == ([], cursor, False)


async def test_a_stale_book_shows_its_age(driver, venue, place_faults):
    await place_faults(venue, "stale_book")
    frozen = time.time_ns()
    await venue.do(Price("PAXG", price_from("4100")))
    await asyncio.sleep(0.01)
    mid = (await driver.mids(["PAXG"]))["PAXG"]
    assert mid.at <= frozen
    assert mid.price == price_from("4000")


async def test_a_book_that_is_not_told_keeps_nobody_from_hearing_of_the_others(driver, venue, place_faults):
    await driver.mids(["PAXG", "BTC"])
    await place_faults(venue, "count_weight")
    # What others spend from this address: there is room for one book, and not for two.
    venue._weights._taken.append((time.time_ns() // MILLISECOND, 1_200 - driver._budget.spent - 3))
    found = await driver.mids(["PAXG", "BTC"])
    assert len(found) == 1
    with pytest.raises(Unavailable, match="HTTP 429"):
        await driver.mids(["PAXG", "BTC"])


async def test_funding_is_told_once(driver, venue):
    await driver.submit(order(driver, "a"))
    await venue.do(Funding("PAXG", price_from("0.0001")))
    (paid,), cursor, _ = await driver.funding("")
    assert (paid.symbol, paid.amount) == ("PAXG", -400_000)
    assert await driver.funding(cursor) == ([], cursor, False)
    await venue.do(Funding("PAXG", price_from("-0.00000001")))
    (got,), cursor, _ = await driver.funding(cursor)
    assert got.amount == 40
    assert got.id != paid.id


async def test_nonces_do_not_repeat_across_drivers_of_a_key(venue):
    now = time.time_ns()
    drivers = [Hyper(WALLET, venue.url, lambda: now) for _ in range(3)]
    answers = await asyncio.gather(
        *(
            driver.submit(order(driver, f"{number}-{n}", size="0.01"))
            for n in range(4)
            for number, driver in enumerate(drivers)
        )
    )
    assert all(isinstance(answer, Acknowledged) for answer in answers)
    for driver in drivers:
        await driver.close()


async def test_an_agent_trades_for_its_account(venue):
    agent = Account.from_key("0x" + "13" * 32)
    venue.books.exchange.agents[agent.address.lower()] = WALLET.address.lower()
    driver = Hyper(agent, venue.url, time.time_ns, address=WALLET.address)
    assert isinstance(await driver.submit(order(driver, "a")), Acknowledged)
    assert (await driver.positions())["PAXG"].size == size_from("1")
    await driver.close()


async def test_it_hears_that_something_happened_as_long_as_it_is_connected(driver, venue, place_faults):
    stirs = driver.stirs()
    async with asyncio.timeout(20):
        await anext(stirs)
        await driver.submit(order(driver, "a"))
        await anext(stirs)
        await place_faults(venue, "disconnect")
        assert len([one async for one in stirs]) <= 3
        await venue.stop()
        with pytest.raises(Unavailable, match="its stream"):
            await anext(driver.stirs())


async def test_pings_keep_the_stream_and_stir_nobody(driver, venue, monkeypatch):
    monkeypatch.setattr("venues.hyper.PING_S", 0.01)
    stirs = driver.stirs()
    await anext(stirs)
    waiting = asyncio.ensure_future(anext(stirs))
    # Many pings' time: none of their answers is taken for news.
    assert await asyncio.wait({waiting}, timeout=0.5) == (set(), {waiting})
    await driver.submit(order(driver, "a"))
    await asyncio.wait_for(waiting, 20)
    await stirs.aclose()


@pytest.mark.parametrize("many", [3, 12])
async def test_many_orders_are_looked_up_together(driver, venue, many):
    ids = [driver.client_id(f"rests-{number}") for number in range(many)]
    for client_id in ids:
        await driver.submit(
            VenueOrder(client_id, "PAXG", Side.BUY, size_from("1"), OrderType.LIMIT, price_from("3000"))
        )
    await driver.cancel(ids[0], "PAXG")
    asked = [(client_id, "PAXG") for client_id in (*ids, "0x" + "0" * 32)]
    begun = driver._budget.spent
    found = await driver.standing(asked)
    # All in one list, and the two that are not in it alone; or each alone where that weighs less.
    assert driver._budget.spent - begun == (24 if many == 12 else 8)
    assert found == {client_id: await driver.order(client_id, "PAXG") for client_id, _ in asked}
    assert found[ids[0]].status is OrderStatus.CANCELLED
    assert found["0x" + "0" * 32] is None


@pytest.mark.parametrize("many", [3, 12])
async def test_an_order_that_cannot_be_read_says_nothing_of_the_others(driver, venue, many):
    ids = [driver.client_id(f"rests-{number}") for number in range(many)]
    for client_id in ids:
        await driver.submit(
            VenueOrder(client_id, "PAXG", Side.BUY, size_from("1"), OrderType.LIMIT, price_from("3000"))
        )
    await driver.cancel(ids[1], "PAXG")
    # What the venue says of one is nonsense from now on.
    venue.books.exchange.find(driver.account, ids[0]).frontend = lambda: {"cloid": ids[0], "sz": "all of it"}
    found = await driver.standing([(client_id, "PAXG") for client_id in ids])
    assert isinstance(found[ids[0]], Unavailable)
    assert found[ids[1]].status is OrderStatus.CANCELLED
    assert {found[client_id].status for client_id in ids[2:]} == {OrderStatus.OPEN}


async def test_what_weighs_too_much_is_refused_by_the_venue_and_never_asked_by_who_looks(
    driver, venue, place_faults
):
    await place_faults(venue, "count_weight")
    reads = [asyncio.create_task(looked(driver)) for _ in range(70)]
    # 800 of 1,200 a minute, at 20 for a list of fills: so many are answered however long that takes here, and no more are asked.
    for read in reads[:40]:
        assert await asyncio.wait_for(read, 20) == ([], "", False)
    waiting = reads[40:]
    assert driver._budget.spent == 800
    assert not any(one.done() for one in waiting)
    assert isinstance(await driver.submit(order(driver, "a")), Acknowledged)
    for one in waiting:
        one.cancel()
    # Whoever does not look is not held back, until the venue says no.
    asked = [driver.fills("") for _ in range(40)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    # Of 1,200, 800 were looked at; the order's list of symbols, the middle and itself weighed 20, 2 and 1.
    taken = [one for one in answers if not isinstance(one, Unavailable)]
    assert len(taken) == (1_200 - 800 - 3 - 20) // 20
    assert all("HTTP 429" in str(one) for one in answers if isinstance(one, Unavailable))
    await place_faults(venue, "count_weight", 0)
    await driver.fills("")


async def looked(driver):
    with looking(Turn.SOON):
        return await driver.fills("")


def test_of_what_is_open_only_what_is_asked_for_is_read():
    mine = {"cloid": "0x1", "coin": "ETH", "side": "B", "oid": 7, "origSz": "1.5", "sz": "0.5"}
    rows = [{"cloid": "0x2", "coin": "?"}, {"cloid": "0x3", "side": "X"}, {"cloid": None}, {}, mine]
    found = open_orders_of(rows, {"0x1", "0x9"})
    assert found == {
        "0x1": OrderState("0x1", "7", "ETH", Side.BUY, OrderStatus.OPEN, size_from("1.5"), size_from("1"))
    }
    # One that can not be read is asked for alone, and keeps nobody from hearing of the others.
    assert open_orders_of(rows, {"0x1", "0x2"}) == found


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Failed to deserialize the JSON body into the target type", True),
        ('{"code": 400, "msg": "Invalid request", "data": null}', True),
        ("<html>408 Request Time-out</html>", False),
        ('{"error": "upstream"}', False),
        ("null", False),
        ("", False),
    ],
)
def test_only_the_venues_own_words_refuse(text, own):
    assert is_refusal(text) is own
