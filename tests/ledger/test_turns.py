"""Whoever changes a vault's orders or positions takes the vault's turn first: in whatever order two come, neither waits for ever."""

import asyncio

import pytest
from sqlalchemy import text

from core.tickets import price_from, size_from
from ledger.database import open_pool
from ledger.venue_fills import Difference, TakenFill, VenueFills
from ledger.venue_orders import OpenLimit, Standing, StoredOrder, VenueOrders, take_turn

ONE = size_from("1")
PRICE = price_from("2000")
ORDER = StoredOrder(
    "gold/a", "gold", "hyper", "ETH", "a", "0xa", "", "ada", 1, ONE, "limit", PRICE, "gtc", 0, 2,
    Standing.ACCEPTED.value, 0, "", "", 5, 5, 9,
)  # fmt: skip
GIVEN_UP = ORDER._replace(status=Standing.NOT_SENT.value, code="too_late")
FILL = TakenFill("f1", "0xa", "77", "ETH", 1, ONE, PRICE, 0, 100)
WAITING = text("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")  # fmt: skip

STEPS = {
    "accept": lambda orders, fills: orders.accept(ORDER, OpenLimit(9, "too_many", "There are 9.")),
    "refuse": lambda orders, fills: orders.accept(ORDER._replace(status=Standing.REFUSED.value)),
    "give up": lambda orders, fills: orders.give_up(GIVEN_UP),
    "move": lambda orders, fills: orders.move(ORDER.ticket, Standing.ACCEPTED, Standing.SENT, 7),
    "advance": lambda orders, fills: orders.advance(ORDER.ticket, Standing.OPEN, 8, "77"),
    "fill": lambda orders, fills: fills.record("gold", "hyper", "", [FILL], "1", 9),
    "correct": lambda orders, fills: fills.correct("gold", "hyper", Difference("ETH", 0, ONE, PRICE), 9),
}
TOGETHER = [
    ("accept", "give up", False),
    ("accept", "refuse", False),
    ("give up", "refuse", False),
    ("give up", "move", True),
    ("give up", "advance", True),
    ("give up", "fill", True),
    ("correct", "fill", True),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("one", "other", "stored"), TOGETHER)
async def test_two_that_wait_for_the_turn_both_get_it(postgres_url, one, other, stored, turned):
    pool = open_pool(postgres_url)
    orders, fills = VenueOrders(pool), VenueFills(pool)
    if stored:
        await orders.accept(ORDER)
    steps = (other, one) if turned else (one, other)
    running = []
    async with asyncio.timeout(10), pool.begin() as first, pool.connect() as looking:
        # Within one transaction what others do is told once.
        await looking.execution_options(isolation_level="AUTOCOMMIT")
        await take_turn(first, "gold")
        for number, name in enumerate(steps, 1):
            running.append(asyncio.create_task(STEPS[name](orders, fills)))
            # In this order they are served.
            while (await looking.execute(WAITING)).scalar_one() < number:
                await asyncio.sleep(0.005)
    await asyncio.gather(*running)
    await pool.dispose()
