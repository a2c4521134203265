"""What every driver promises, shown against its local venue. A new venue is done when this passes for it."""

import asyncio
import time
from dataclasses import replace

import pytest

from core.market import Side
from core.quantities import SECOND, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce
from venues.driver import Acknowledged, Cancelled, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown


@pytest.fixture
def market(place, driver):
    """An order at the market for a ticket of that name."""

    def order(ticket, side=Side.BUY, size=None, **terms):
        terms = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC, **terms}
        return VenueOrder(driver.client_id(ticket), place.symbol, side, size or place.size, **terms)

    return order


@pytest.fixture
def limit(place, market):
    """A limit order, `away` from the middle against itself where positive."""

    def order(ticket, away, side=Side.BUY, **terms):
        price = PriceE8(place.price - side * away * place.step)
        terms = {"time_in_force": TimeInForce.GTC, **terms}
        return market(ticket, side, order_type=OrderType.LIMIT, limit_price=price, **terms)

    return order


@pytest.fixture
def resting(place):
    if not place.rests:
        pytest.skip("no orders wait at this venue")


@pytest.fixture
def faults(place):
    if place.faults is None:
        pytest.skip("nothing between driver and venue can fail")
    return place.faults


@pytest.fixture
def shorts(place):
    if not place.shorts:
        pytest.skip("nobody sells here what is not held")


@pytest.fixture
def moved(place, driver):
    async def moved():
        """Positions, less what the account had from the start."""
        sizes = {symbol: held.size for symbol, held in (await driver.positions()).items()}
        sizes[place.symbol] = sizes.get(place.symbol, 0) - place.held
        return {symbol: size for symbol, size in sizes.items() if size}

    return moved


async def all_fills(driver):
    return (await driver.fills("")).fills


def filled(fills):
    return sum(fill.side * fill.size for fill in fills)


async def test_another_driver_of_the_account_calls_it_the_same(place, driver):
    """The ledger takes no account for a vault's that is called something else."""
    other = await place.open()
    assert driver.account
    assert (other.venue, other.account) == (driver.venue, driver.account)
    await other.close()


async def test_it_says_who_it_is(driver):
    assert driver.lifecycle is Lifecycle.ACTIVE
    assert driver.venue


async def test_client_ids_are_of_their_ticket_only(place, driver):
    other = await place.open()
    assert driver.client_id("vault-1/a") == other.client_id("vault-1/a")
    assert len({driver.client_id(f"vault-{n}/a") for n in range(1000)}) == 1000
    await other.close()


async def test_an_account_that_has_done_nothing(driver, place, moved):
    assert await moved() == {}
    assert await all_fills(driver) == []
    assert await driver.order(driver.client_id("never"), place.symbol) is None


async def test_an_order_at_the_market_fills_and_is_in_every_answer(driver, place, market, moved):
    order = market("one")
    answer = await driver.submit(order)
    assert isinstance(answer, Acknowledged)
    assert answer.order.client_id == order.client_id
    assert (answer.order.status, answer.order.filled) == (OrderStatus.FILLED, place.size)
    assert (answer.average_price > place.price) is place.spread
    assert answer.average_price >= place.price
    assert await driver.order(order.client_id, place.symbol) == answer.order
    fills = await all_fills(driver)
    assert filled(fills) == place.size
    assert {fill.client_id for fill in fills} == {order.client_id}
    assert {fill.symbol for fill in fills} == {place.symbol}
    assert {fill.venue_order_id for fill in fills} == {answer.order.venue_id}
    assert len({fill.id for fill in fills}) == len(fills)
    assert all(abs(fill.at - time.time_ns()) < 600 * SECOND for fill in fills)
    cost = sum(fill.price * fill.size for fill in fills)
    assert abs(cost // place.size - answer.average_price) <= place.step
    assert await moved() == {place.symbol: place.size}


async def test_what_is_late_is_not_sent(driver, place, market, moved):
    late = market("late", not_after=Nanos(time.time_ns()))
    answer = await driver.submit(late)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.TOO_LATE
    assert await driver.order(late.client_id, place.symbol) is None
    assert await moved() == {}
    in_time = market("in time", not_after=Nanos(time.time_ns() + 20 * SECOND))
    assert isinstance(await driver.submit(in_time), Acknowledged)
    assert await moved() == {place.symbol: place.size}


async def test_what_arrives_late_is_refused_by_the_venue(place, market, moved):
    """To the driver it is ten seconds ago, as to a process that stood still between its last look at the clock and the wire."""
    if not place.refuses_late:
        pytest.skip("this venue has no clock of its own")
    behind = await place.open(lambda: time.time_ns() - 10 * SECOND)
    answer = await behind.submit(market("late", not_after=Nanos(time.time_ns() - 5 * SECOND)))
    await behind.close()
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.TOO_LATE
    assert await moved() == {}


async def test_positions_are_what_was_filled(driver, place, market, moved):
    for ticket, side in [
        ("a", Side.BUY),
        ("b", Side.SELL),
        ("c", Side.SELL),
        ("d", Side.SELL),
        ("e", Side.BUY),
    ]:
        assert isinstance(await driver.submit(market(ticket, side)), Acknowledged)
        total = filled(await all_fills(driver))
        assert await moved() == ({place.symbol: total} if total else {})


async def test_the_book_has_two_sides(driver, place, market):
    bought, sold = await driver.submit(market("b")), await driver.submit(market("s", Side.SELL))
    mid = (await driver.mids([place.symbol]))[place.symbol]
    assert sold.average_price < mid.price < bought.average_price
    assert abs(mid.at - time.time_ns()) < 600 * SECOND


async def test_mids_are_of_known_symbols_only_and_follow_the_market(driver, place):
    assert await driver.mids([]) == {}
    assert await driver.mids(["NO-SUCH-THING"]) == {}
    before = await driver.mids([place.symbol, "NO-SUCH-THING"])
    assert set(before) == {place.symbol}
    await place.move(PriceE8(place.price + 10 * place.step))
    after = await driver.mids([place.symbol])
    assert after[place.symbol].price - before[place.symbol].price == 10 * place.step


@pytest.mark.parametrize("reduce", [Side.BUY, Side.SELL])
async def test_reduce_only_never_adds(driver, place, market, shorts, reduce):
    alone = await driver.submit(market("alone", reduce, reduce_only=True))
    assert isinstance(alone, Refused)
    assert alone.reason is Reason.WOULD_NOT_REDUCE
    await driver.submit(market("open", Side(-reduce)))
    more = await driver.submit(market("more", Side(-reduce), reduce_only=True))
    assert isinstance(more, Refused)
    assert more.reason is Reason.WOULD_NOT_REDUCE
    double = market("close", reduce, size=SizeE8(2 * place.size), reduce_only=True)
    assert isinstance(await driver.submit(double), Acknowledged)
    assert await driver.positions() == {}


async def test_what_the_venue_cannot_count_is_refused(driver, place, market):
    answer = await driver.submit(market("odd", size=SizeE8(place.size + place.odd)))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.ORDER_INVALID
    assert answer.words
    assert not answer.retryable
    assert await all_fills(driver) == []


async def test_a_symbol_that_is_not_there(driver, market):
    answer = await driver.submit(replace(market("x"), symbol="NO-SUCH-THING"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.SYMBOL_UNKNOWN


async def test_an_order_that_does_not_wait_and_finds_nobody(driver, place, limit):
    answer = await driver.submit(limit("far", 100, time_in_force=TimeInForce.IOC))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NO_LIQUIDITY
    assert await all_fills(driver) == []


@pytest.mark.parametrize("side", Side)
async def test_the_worst_price_of_an_order_at_the_market_is_any_price(driver, place, market, side):
    bound = PriceE8(place.price + side * (50 * place.step + 1))
    answer = await driver.submit(market("bound", side, limit_price=bound))
    assert isinstance(answer, Acknowledged)
    assert all(side * (fill.price - bound) <= 0 for fill in await all_fills(driver))


@pytest.mark.parametrize("side", Side)
async def test_an_order_at_the_market_fills_at_its_worst_price_or_not_at_all(driver, place, market, side):
    bound = PriceE8(place.price - side * (50 * place.step + 1))
    answer = await driver.submit(market("bound", side, limit_price=bound))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NO_LIQUIDITY
    assert await all_fills(driver) == []


async def test_fill_or_kill_fills_whole_or_not_at_all(driver, place, limit):
    order = limit("whole", -100, size=place.most, time_in_force=TimeInForce.FOK)
    answer = await driver.submit(order)
    assert isinstance(answer, Refused)
    assert answer.reason is (Reason.NO_LIQUIDITY if place.fills_whole else Reason.NOT_SUPPORTED)
    assert await all_fills(driver) == []


async def test_a_waiting_order_is_seen_and_cancelled(driver, place, limit, resting):
    order = limit("wait", 100)
    answer = await driver.submit(order)
    assert isinstance(answer, Acknowledged)
    assert (answer.order.status, answer.order.filled) == (OrderStatus.OPEN, 0)
    assert await driver.order(order.client_id, place.symbol) == answer.order
    assert await driver.cancel(order.client_id, place.symbol) == Cancelled(order.client_id)
    state = await driver.order(order.client_id, place.symbol)
    assert (state.status, state.filled) == (OrderStatus.CANCELLED, 0)
    again = await driver.cancel(order.client_id, place.symbol)
    assert isinstance(again, Refused)
    assert again.reason is Reason.ORDER_UNKNOWN


async def test_a_waiting_order_fills_when_the_market_comes(driver, place, limit, resting):
    order = limit("wait", 20, Side.SELL)
    assert isinstance(await driver.submit(order), Acknowledged)
    assert await all_fills(driver) == []
    await place.move(PriceE8(place.price + 100 * place.step))
    fills = await all_fills(driver)
    assert filled(fills) == -place.size
    assert {(fill.client_id, fill.price) for fill in fills} == {(order.client_id, order.limit_price)}
    state = await driver.order(order.client_id, place.symbol)
    assert (state.status, state.filled) == (OrderStatus.FILLED, place.size)


async def test_post_only_waits_or_is_refused(driver, place, limit, resting):
    crossing = await driver.submit(limit("cross", -50, time_in_force=TimeInForce.POST_ONLY))
    assert isinstance(crossing, Refused)
    assert crossing.reason is Reason.WOULD_MATCH
    waiting = await driver.submit(limit("wait", 50, time_in_force=TimeInForce.POST_ONLY))
    assert isinstance(waiting, Acknowledged)
    assert waiting.order.status is OrderStatus.OPEN
    assert await all_fills(driver) == []


async def test_cancelling_what_was_never_there(driver, place):
    answer = await driver.cancel(driver.client_id("never"), place.symbol)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.ORDER_UNKNOWN


async def test_cursors_tell_every_fill_once_to_whoever_goes_on(driver, place, market):
    seen, cursor = [], ""
    for number in range(4):
        await driver.submit(market(f"t{number}", Side.BUY if number % 3 else Side.SELL))
        # Whoever goes on may be another process.
        other = await place.open()
        more, cursor, _ = await other.fills(cursor)
        assert more
        assert (await other.fills(cursor)).fills == []
        seen += more
        await other.close()
    assert seen == await all_fills(driver)
    assert len({fill.id for fill in seen}) == len(seen)


async def test_orders_side_by_side_do_not_mix(driver, place, market, moved):
    orders = [market(f"t{number}", Side.BUY if number % 2 else Side.SELL) for number in range(6)]
    answers = await asyncio.gather(*(driver.submit(order) for order in orders))
    for order, answer in zip(orders, answers, strict=True):
        assert isinstance(answer, Acknowledged)
        assert (answer.order.client_id, answer.order.side) == (order.client_id, order.side)
    fills = await all_fills(driver)
    for order in orders:
        mine = [fill for fill in fills if fill.client_id == order.client_id]
        assert filled(mine) == order.side * order.size
    assert await moved() == {}


async def test_a_lost_reply_is_unknown_and_the_order_is_found(driver, place, market, faults):
    await faults.lose_reply()
    order = market("lost")
    with pytest.raises(Unknown):
        await driver.submit(order)
    state = await driver.order(order.client_id, place.symbol)
    assert (state.status, state.filled) == (OrderStatus.FILLED, place.size)
    assert filled(await all_fills(driver)) == place.size


async def test_an_error_that_is_not_the_venues_own_refuses_nothing(driver, place, market, faults):
    """Whatever is in between may have handed on what it answers for."""
    await faults.give_up_between()
    order = market("between")
    with pytest.raises(Unknown):
        await driver.submit(order)
    state = await driver.order(order.client_id, place.symbol)
    assert (state.status, state.filled) == (OrderStatus.FILLED, place.size)
    assert filled(await all_fills(driver)) == place.size


async def test_a_lost_request_is_unknown_and_the_order_is_not_found(driver, place, market, faults):
    await faults.lose_request()
    order = market("lost")
    with pytest.raises(Unknown):
        await driver.submit(order)
    assert await driver.order(order.client_id, place.symbol) is None
    assert isinstance(await driver.submit(order), Acknowledged)
    assert filled(await all_fills(driver)) == place.size


async def test_too_many_orders_are_refused_for_now(driver, place, market, faults):
    await faults.limit_rate()
    answer = await driver.submit(market("many"))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.RATE_LIMITED
    assert answer.retryable
    assert await all_fills(driver) == []
    assert isinstance(await driver.submit(market("many")), Acknowledged)


async def test_a_venue_that_is_down_is_never_taken_for_one_that_knows_nothing(driver, place, market, faults):
    order = market("before")
    await driver.submit(order)
    await faults.go_down()
    for asking in (
        # Not even a connection: it is certain that these did not arrive.
        driver.submit(market("after")),
        driver.cancel(order.client_id, place.symbol),
        driver.order(order.client_id, place.symbol),
        driver.fills(""),
        driver.positions(),
        driver.mids([place.symbol]),
    ):
        with pytest.raises(Unavailable):
            await asking


async def test_closing_twice_does_nothing(place):
    driver = await place.open()
    await driver.close()
    await driver.close()
