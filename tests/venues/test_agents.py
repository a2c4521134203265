"""This network as a venue: what only it does. The exchange is the real one."""

import time

import pytest
from solders.keypair import Keypair

from core.funding import HOUR
from core.funding_hour import SAMPLE_EVERY
from core.market import Side
from core.quantities import SECOND
from core.tickets import OrderType, TimeInForce, price_from, size_from
from matcher import commands as c
from venues.agents import Agents
from venues.driver import Acknowledged, OrderStatus, Reason, Refused, VenueOrder


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
        fills, after = await driver.fills(cursor)
        seen += fills
        if after == cursor:
            break
        cursor = after
    assert [fill.client_id for fill in seen] == [one.client_id for one in orders for _ in range(2)]
    assert len({fill.id for fill in seen}) == 8


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
    (paid,), cursor = await driver.funding("")
    assert paid.symbol == "BTC-PERP"
    assert paid.amount == exchange.engine.state.accounts[desk.account].balance - before < 0
    assert (await driver.funding(cursor)).payments == []
    await driver.close()


async def test_a_market_without_quotes_has_no_middle(driver, exchange):
    assert await driver.mids(["BTC-PERP"]) == {}
    answer = await driver.submit(order(driver, "a"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NO_LIQUIDITY
    assert answer.retryable
