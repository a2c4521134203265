"""This network as a venue: what only it does. The exchange is the real one."""

import asyncio
import time

import pytest
from msgspec import to_builtins
from solders.keypair import Keypair

from api.outgoing_private import DebtCovered, Deleveraged, Moved
from core.accounts import INSURANCE
from core.funding import HOUR
from core.funding_hour import SAMPLE_EVERY
from core.market import Side
from core.quantities import SECOND
from core.tickets import OrderType, TimeInForce, notional_down, notional_up, price_from, size_from
from matcher import commands as c
from venues.agents import CLOCKS_APART, Agents
from venues.agents_wire import Answer, fills_of, payments_of, refused_in
from venues.driver import (
    Acknowledged,
    FundingPayment,
    OrderStatus,
    PaymentKind,
    Reason,
    Refused,
    VenueOrder,
)


@pytest.fixture
async def exchange(new_exchange):
    return await new_exchange()


@pytest.fixture
async def driver(exchange):
    owner = Keypair()
    await exchange.agent("desk", 5_000_000_000_000, owner)
    opened = Agents(exchange.server.http_url, owner, "desk", time.time_ns)
    yield opened
    await opened.close()


def order(driver, ticket, side=Side.BUY, size="0.5", **terms):
    return VenueOrder(driver.client_id(ticket), "BTC-PERP", side, size_from(size), **terms)


@pytest.mark.parametrize("code", ["rate_limited", "too_many_requests_open", "too_many_answers_kept"])
def test_who_asked_too_much_may_ask_again(code):
    refused = refused_in(Answer(None, code, "later"))
    assert (refused.reason, refused.retryable) == (Reason.RATE_LIMITED, True)


@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, TimeInForce.POST_ONLY])
async def test_nothing_waits_here(driver, time_in_force):
    terms = {
        "order_type": OrderType.LIMIT,
        "limit_price": price_from("60000"),
        "time_in_force": time_in_force,
    }
    answer = await driver.submit(order(driver, "a", **terms))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NOT_SUPPORTED


async def test_an_order_is_filled_as_far_as_quotes_go(driver, exchange):
    await exchange.maker(size="0.3")
    answer = await driver.submit(order(driver, "a"))
    assert isinstance(answer, Acknowledged)
    assert (answer.order.status, answer.order.filled) == (OrderStatus.CANCELLED, size_from("0.3"))
    assert await driver.order(driver.client_id("a"), "BTC-PERP") == answer.order


async def test_the_same_order_again_gets_the_first_answer_and_another_under_its_id_none(driver, exchange):
    await exchange.maker()
    first = await driver.submit(order(driver, "a", limit_price=price_from("60100")))
    assert await driver.submit(order(driver, "a", limit_price=price_from("60100"))) == first
    other = await driver.submit(order(driver, "a", size="0.4", limit_price=price_from("60100")))
    assert isinstance(other, Refused)
    assert other.reason is Reason.CLIENT_ID_USED
    assert (await driver.positions())["BTC-PERP"].size == size_from("0.5")


async def test_a_session_that_ended_is_made_anew(driver, exchange):
    await exchange.maker()
    assert await driver.positions() == {}
    await exchange.engine.ask(
        c.RevokeSessions(next(a for a in exchange.engine.state.accounts.values() if a.name == "desk").id)
    )
    assert isinstance(await driver.submit(order(driver, "a")), Acknowledged)


async def test_fills_and_orders_are_found_behind_many_events(driver, exchange, monkeypatch):
    """Pages as small as they can be: every fill is torn from its request's end somewhere."""
    monkeypatch.setattr("venues.agents.PAGE", 1)
    maker = await exchange.maker(size="0.2")
    orders = []
    for number in range(4):
        levels = [["60010.0", "0.2"], ["60020.0", "0.2"]]
        await maker.ask(op="quotes", id=f"q{number}", market="BTC-PERP", bids=[], asks=levels, life_ms=60000)
        orders.append(order(driver, f"t{number}", size="0.4"))
        assert isinstance(await driver.submit(orders[-1]), Acknowledged)
    for one in orders:
        state = await driver.order(one.client_id, "BTC-PERP")
        assert (state.status, state.filled) == (OrderStatus.FILLED, one.size)
    assert await driver.order(driver.client_id("never"), "BTC-PERP") is None
    seen, cursor = [], ""
    while True:
        fills, after, _ = await driver.fills(cursor)
        seen += fills
        if after == cursor:
            break
        cursor = after
    assert [fill.client_id for fill in seen] == [one.client_id for one in orders for _ in range(2)]
    assert len({fill.id for fill in seen}) == 8


async def test_an_order_is_looked_for_no_further_back_than_it_was_sent(driver, exchange, monkeypatch):
    """Else each question about one that never arrived reads all that the account has ever done."""
    monkeypatch.setattr("venues.agents.PAGE", 4)
    await exchange.maker()
    for number in range(6):
        await driver.submit(order(driver, f"t{number}", size="0.1"))
    asked = []

    async def ask(request):
        asked.append(request.url)

    driver._http.event_hooks["request"].append(ask)

    async def pages(ticket, since):
        asked.clear()
        found = await driver.order(driver.client_id(ticket), "BTC-PERP", since)
        return found is not None, sum("after=" in str(url) for url in asked) - 1

    _, whole = await pages("never", 0)
    assert whole >= 4
    now = time.time_ns()
    assert await pages("never", now) == (False, whole)
    # What happened before it was sent, by however much clocks may differ, is not its.
    assert await pages("never", now + CLOCKS_APART) == (False, 1)
    assert await pages("t5", now + CLOCKS_APART) == (True, 1)
    assert (await pages("t0", now - SECOND))[0]


async def test_fees_are_those_of_the_exchange(driver, exchange):
    await exchange.maker()
    answer = await driver.submit(order(driver, "a"))
    (fill,) = (await driver.fills("")).fills
    assert fill.fee == 15_002_500  # 0.05 % of half of 60,010.
    assert fill.price == answer.average_price == price_from("60010")
    held = (await driver.positions())["BTC-PERP"]
    assert (held.size, held.entry_price) == (size_from("0.5"), price_from("60010"))


class Clock:
    """Stands still but for what a test lets pass."""

    def __init__(self) -> None:
        # Ten minutes before an hour's end.
        self.now = (time.time_ns() // HOUR + 1) * HOUR - 600 * SECOND

    def __call__(self) -> int:
        return self.now


async def test_funding_is_told_once_and_as_the_exchange_booked_it(new_exchange):
    clock, owner = Clock(), Keypair()
    exchange = await new_exchange(clock=clock)
    desk = await exchange.agent("desk", 5_000_000_000_000, owner)
    makers = [await exchange.maker(), await exchange.maker("other", "59000", "61000")]
    driver = Agents(exchange.server.http_url, owner, "desk", clock)
    assert isinstance(await driver.submit(order(driver, "a")), Acknowledged)
    for _ in range(20):
        clock.now += SAMPLE_EVERY
        exchange.index(1, 600_000)
        for maker in makers:
            # A tenth of a percent above the index, so longs pay.
            levels = ((600_600, 100_000),), ((606_000, 100_000),)
            exchange.engine.submit(c.SetQuotes(maker.account, 1, *levels, clock.now + 30 * SECOND), None)
        exchange.engine.submit(c.Advance(), None)
    clock.now = (clock.now // HOUR + 1) * HOUR
    exchange.index(1, 600_000)
    before = exchange.engine.state.accounts[desk.account].balance
    await exchange.engine.ask(c.SettleFunding(1, clock.now // HOUR))
    (paid,), cursor, _ = await driver.funding("")
    assert paid.symbol == "BTC-PERP"
    assert paid.amount == exchange.engine.state.accounts[desk.account].balance - before < 0
    # What is behind the position by the exchange's own reckoning.
    state = exchange.engine.state
    assert await driver.equity() == state.margin_of(state.accounts[desk.account]).equity
    assert (await driver.funding(cursor)).payments == []
    await driver.close()


async def test_a_market_without_quotes_has_no_middle(driver, exchange):
    assert await driver.mids(["BTC-PERP"]) == {}
    answer = await driver.submit(order(driver, "a"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NO_LIQUIDITY
    assert answer.retryable


async def cash_told(driver):
    """Micro-USDC that all which the driver tells comes to, as the ledger counts it."""
    fills, payments = (await driver.fills("")).fills, (await driver.funding("")).payments
    values = (
        -notional_up(one.price, one.size) if one.side is Side.BUY else notional_down(one.price, one.size)
        for one in fills
    )
    return sum(values) - sum(one.fee for one in fills) + sum(one.amount for one in payments)


def came_to(exchange, account, deposit):
    """The same by the exchange's own books: what its balance gained, less what is paid for what it holds."""
    held = exchange.engine.state.accounts[account]
    return held.balance - deposit - sum(one.cost for one in held.positions.values())


async def heard(exchange, agent):
    """Which kinds of events an account has had."""
    answer = await exchange.http.get("/api/v1/account/events?after=0&limit=500", headers=agent.headers)
    return {event["ev"] for event in answer.json()["events"]}


DEPOSIT = 13_300_000_000


@pytest.mark.parametrize(
    ("fund", "index", "bids", "told"),
    [
        (0, 592_000, ((591_987, 1_000_000),), "liquidation_sliced"),
        (10**11, 590_003, (), "taken_over"),
        (0, 588_000, (), "deleveraged"),
        (0, 610_003, (), "market_settled"),
    ],
)
async def test_what_the_exchange_itself_closes_is_told_for_what_it_counted_for(
    new_exchange, fund, index, bids, told
):
    clock, owner = Clock(), Keypair()
    exchange = await new_exchange(clock=clock)
    engine = exchange.engine
    maker = await exchange.maker(bid="59990.0", ask="60000.0")
    desk = await exchange.agent("desk", DEPOSIT, owner)
    driver = Agents(exchange.server.http_url, owner, "desk", clock)
    assert isinstance(await driver.submit(order(driver, "a", size="10")), Acknowledged)
    assert await cash_told(driver) == came_to(exchange, desk.account, DEPOSIT)
    await engine.ask(c.CancelAll(maker.account))
    if fund:
        await engine.ask(c.CreditDeposit(INSURANCE, fund, "fund"))
    if told == "market_settled":
        delist = {"type": "DelistMarket", "market": 1, "why": "nobody quotes it"}
        await exchange.operator(delist)
        exchange.index(1, index)
        assert (await exchange.operator({**delist, "force": True})).is_success
    else:
        exchange.index(1, index)
    async with asyncio.timeout(20):
        while told not in await heard(exchange, desk) or desk.account in engine.state.liquidations:
            # An auction that nobody bids in is held again.
            clock.now += SECOND
            exchange.index(1, index)
            await engine.ask(c.SetQuotes(maker.account, 1, bids, (), clock.now + 30 * SECOND))
            engine.submit(c.Advance(), None)
    held = engine.state.accounts[desk.account].positions
    # The books are ahead of what is told, which is on disk first.
    async with asyncio.timeout(20):
        while engine.synced < engine.state.seq:
            await asyncio.sleep(0.01)
    assert await cash_told(driver) == came_to(exchange, desk.account, DEPOSIT)
    # Positions, too: in ten-thousandths of a coin there.
    sizes = sum(one.side * one.size for one in (await driver.fills("")).fills)
    assert sizes == sum(one.size * 10_000 for one in held.values())
    if told == "taken_over":
        assert await cash_told(driver) == -DEPOSIT
    if told == "liquidation_sliced":
        paid = [one for one in (await driver.funding("")).payments if one.kind is PaymentKind.LIQUIDATION_FEE]
        assert sum(one.amount for one in paid) < 0
    await driver.close()


def test_what_counted_for_less_than_nothing_moves_cash_by_exactly_that():
    """A long given up by one who had to pay besides, and a short that no price in 1e-8 values."""
    moved = (
        Moved("BTC-PERP", "sell", "0.5", "60000.0", "-7.000001", "-30007.000001", "0.000000"),
        Moved("ETH-PERP", "buy", "0.3", "2000.0", "600.000001", "0.000000", "0.000000"),
    )
    event = to_builtins(Deleveraged(9, 70, 5, liquidation=3, role="liquidated", moved=moved)) | {
        "ev": "deleveraged"
    }
    sold, bought = fills_of(event, {})
    assert notional_down(sold.price, sold.size) - sold.fee == -7_000_001
    assert -notional_up(bought.price, bought.size) - bought.fee == -600_000_001
    assert (sold.id, bought.id, sold.at) == ("deleveraged-5-9-0", "deleveraged-5-9-1", 5_000)
    assert sold.price > 0 < bought.price
    assert payments_of(event) == []


def test_a_debt_that_others_paid_is_cash_and_so_is_one_that_was_paid_for_others():
    for role, amount, came in (("debtor", "5.000001", 5_000_001), ("payer", "-2.000000", -2_000_000)):
        event = to_builtins(DebtCovered(9, 70, 5, role=role, amount=amount)) | {"ev": "debt_covered"}
        assert payments_of(event) == [FundingPayment("5-9", "", came, 5_000, PaymentKind.DEBT)]
