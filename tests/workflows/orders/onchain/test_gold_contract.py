"""What the suite of all drivers asks of one whose orders wait for a batch: everything until an order fills, and of its fills what
does not say that they are there at once."""

import asyncio
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from core.market import Side
from core.quantities import SECOND, Nanos
from core.tickets import price_from
from venues.driver import Acknowledged, OrderStatus, Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown

_file = Path(__file__).parents[3] / "venues" / "test_driver_contract.py"
_spec = spec_from_file_location("driver_contract", _file)
assert _spec is not None
assert _spec.loader is not None
contract = module_from_spec(_spec)
sys.modules[_spec.name] = contract
_spec.loader.exec_module(contract)


class Waited:
    """A driver whose orders are answered when their batch is over: then they are as those of any other."""

    def __init__(self, driver):
        self._driver = driver

    def __getattr__(self, name):
        return getattr(self._driver, name)

    async def submit(self, order):
        placed = await self._driver.submit(order)
        assert isinstance(placed, Acknowledged)
        assert (placed.order.status, placed.order.filled) == (OrderStatus.OPEN, 0)
        async with asyncio.timeout(30):
            while (
                state := await self._driver.order(order.client_id, order.symbol)
            ).status is placed.order.status:
                await asyncio.sleep(0.02)
        fills = [one for one in (await self._driver.fills("")).fills if one.client_id == order.client_id]
        assert contract.filled(fills) == order.side * state.filled
        price = sum(one.price * one.size for one in fills) // state.filled if state.filled else None
        return Acknowledged(state, price)


async def test_what_every_driver_promises_of_fills(desk, chain):
    place, driver = desk.place, Waited(await desk.driver())

    def market(ticket, side=Side.BUY, **terms):
        return VenueOrder(driver.client_id(ticket), place.symbol, side, place.size, **terms)

    async def moved():
        return {symbol: held.size for symbol, held in (await driver.positions()).items()}

    await contract.test_an_order_at_the_market_fills_and_is_in_every_answer(driver, place, market, moved)
    [before] = (await driver.fills("")).fills
    # Out of it again, at another price: what is told goes on behind a cursor, in another process too.
    chain.price(2_100 * 10**8)
    _, cursor, _ = await driver.fills("")
    out = await driver.submit(market("out", Side.SELL, reduce_only=True))
    assert (out.order.status, out.average_price) == (OrderStatus.FILLED, price_from("2100"))
    assert await moved() == {}
    other = await place.open()
    [after], cursor, _ = await other.fills(cursor)
    assert (after.client_id, after.side * after.size) == (driver.client_id("out"), -place.size)
    assert (await other.fills(cursor)).fills == []
    assert (await other.fills("")).fills == [before, after]
    # And what would not reduce anything is not filled.
    flat = await driver.submit(market("flat", Side.SELL, reduce_only=True))
    assert (flat.order.status, flat.order.filled) == (OrderStatus.REJECTED, 0)
    assert flat.order.reason is Reason.WOULD_NOT_REDUCE
    assert (await other.fills(cursor)).fills == []
    await contract.test_positions_are_what_was_filled(driver, place, market, moved)
    await contract.test_cursors_tell_every_fill_once_to_whoever_goes_on(driver, place, market)


async def test_what_every_driver_promises_before_an_order_fills(desk):
    place, driver = desk.place, await desk.driver()

    def market(ticket, **terms):
        return VenueOrder(driver.client_id(ticket), place.symbol, Side.BUY, place.size, **terms)

    async def moved():
        return {symbol: held.size for symbol, held in (await driver.positions()).items()}

    await contract.test_it_says_who_it_is(driver)
    await contract.test_client_ids_are_of_their_ticket_only(place, driver)
    await contract.test_an_account_that_has_done_nothing(driver, place, moved)
    await contract.test_a_symbol_that_is_not_there(driver, market)
    await contract.test_cancelling_what_was_never_there(driver, place)
    await contract.test_closing_twice_does_nothing(place)


async def test_what_is_late_is_not_sent_and_not_taken(desk, vault):
    place, driver = desk.place, await desk.driver()

    def order(ticket, not_after):
        name = driver.client_id(ticket)
        return VenueOrder(name, place.symbol, Side.BUY, place.size, not_after=Nanos(not_after))

    late = await driver.submit(order("late", time.time_ns()))
    assert isinstance(late, Refused)
    assert late.reason is Reason.TOO_LATE
    assert await driver.order(driver.client_id("late"), place.symbol) is None
    # A lost one is given up no later than it may come.
    hasty, last = await place.open(vault, within_s=0), time.time_ns() + 6 * SECOND
    with pytest.raises(Unknown) as lost:
        await hasty.submit(order("lost", last))
    assert last - SECOND < lost.value.until <= last
    # To this process it is ten seconds ago.
    slow = await place.open(vault, clock=lambda: time.time_ns() - 10 * SECOND)
    with pytest.raises(Unavailable, match="too late"):
        await slow.submit(order("slow", time.time_ns() - 5 * SECOND))
    assert await slow.order(slow.client_id("slow"), place.symbol) is None
