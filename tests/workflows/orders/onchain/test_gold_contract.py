"""What the suite of all drivers asks of one whose orders wait for a batch: everything until an order fills."""

import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from core.market import Side
from core.quantities import SECOND, Nanos
from venues.driver import Reason, Refused, VenueOrder
from venues.errors import Unavailable, Unknown

_file = Path(__file__).parents[3] / "venues" / "test_driver_contract.py"
_spec = spec_from_file_location("driver_contract", _file)
assert _spec is not None
assert _spec.loader is not None
contract = module_from_spec(_spec)
sys.modules[_spec.name] = contract
_spec.loader.exec_module(contract)


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
