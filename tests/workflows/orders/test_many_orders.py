"""However many orders wait at venues, the next one is sent, taken back and closed at once."""

import asyncio
import time

from core.market import Side
from core.tickets import Leg, OrderType, PriceE8

SLOTS = {"at_once": 3, "followed": 2}
MANY = 5
"""More than a worker has places of either kind."""
AT_ONCE_S = 5
"""An order that waits is followed for two minutes at a time."""


def resting(desk, number):
    away = PriceE8(desk.place.price - 100 * desk.place.step)
    return desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=away, client_id=f"rests-{number}")


async def test_orders_that_wait_keep_no_other_waiting(desk_of, places, tmp_path, vault):
    desk = await desk_of("mock_gold", places["mock_gold"](tmp_path, None), vaults=(vault, "other"))
    async with asyncio.timeout(60), desk.worker(**SLOTS):
        waiting = await asyncio.gather(*(desk.exec.open(vault, resting(desk, n)) for n in range(MANY)))
        assert {one.status for one in waiting} == {"open"}
        begun = time.monotonic()
        bought = await desk.exec.open("other", desk.ticket(Side.BUY, client_id="market"))
        assert (bought.status, bought.filled) == ("filled", desk.place.size)
        taken_back = await desk.exec.cancel(vault, f"rests-{MANY - 1}")
        assert (taken_back.status, taken_back.filled) == ("cancelled", 0)
        await desk.books.collect("other", "mock_gold")
        out = await desk.exec.close("other", Leg("mock_gold", desk.place.symbol))
        assert (out.status, out.filled) == ("filled", desk.place.size)
        assert time.monotonic() - begun < AT_ONCE_S
