"""Looking waits for its turn in what a venue allows; orders do not."""

import asyncio

import pytest

from venues.budget import Budget, looking
from venues.errors import NotAsked


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.setattr("venues.budget.WINDOW_S", 0.3)
    return Budget("hyper", 100)


async def looked(budget, weight):
    with looking():
        await budget.take(weight)


async def test_looking_waits_until_what_was_spent_is_long_enough_ago(budget):
    budget.spend(90)
    await looked(budget, 10)
    waiting = [asyncio.create_task(looked(budget, weight)) for weight in (60, 2)]
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in waiting)
    # An order goes at once, whatever is spent, and counts.
    await asyncio.wait_for(budget.take(8), 0.05)
    assert budget.spent == 108
    await asyncio.wait_for(asyncio.gather(*waiting), 2)
    assert budget.spent <= 100


async def test_looking_goes_in_the_order_in_which_it_came(budget):
    budget.spend(100)
    came = []

    async def one(weight):
        await looked(budget, weight)
        came.append(weight)

    await asyncio.wait_for(asyncio.gather(*(one(weight) for weight in (90, 2, 3))), 2)
    assert came == [90, 2, 3]


async def test_what_weighs_more_than_looking_may_spend_waits_for_an_empty_minute_only(budget):
    budget.spend(1)
    await asyncio.wait_for(looked(budget, 500), 2)
    assert budget.spent == 500


async def test_whoever_looks_is_told_that_its_turn_did_not_come(budget, monkeypatch):
    monkeypatch.setattr("venues.budget.PATIENCE_S", 0.05)
    budget.spend(100)
    with pytest.raises(NotAsked, match="kept for orders"):
        await looked(budget, 1)
    assert budget.spent == 100
    await asyncio.sleep(0.3)
    await looked(budget, 1)


async def test_nobody_looks_for_a_while_after_the_venue_said_that_there_was_too_much(budget, monkeypatch):
    monkeypatch.setattr("venues.budget.BACK_OFF_S", 0.15)
    budget.refused()
    waiting = asyncio.create_task(looked(budget, 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await budget.take(1)
    await asyncio.wait_for(waiting, 2)
