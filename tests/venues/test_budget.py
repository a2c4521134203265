"""Looking waits for its turn in what a venue allows; orders do not."""

import asyncio

import pytest

from venues.budget import Budget, Turn, looking, patience
from venues.errors import NotAsked


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.setattr("venues.budget.WINDOW_S", 0.3)
    return Budget("hyper", 100)


async def looked(budget, weight, turn=Turn.SOON):
    with looking(turn):
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
    with pytest.raises(NotAsked, match="kept for others"):
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


async def test_each_class_leaves_what_the_ones_before_it_need(budget):
    order = []

    async def one(turn, weight):
        await looked(budget, weight, turn)
        order.append((turn, weight))

    # Rounds leave a quarter to what somebody waits for, and of the rest a fifth to following.
    rounds = [asyncio.create_task(one(Turn.ROUND, 20)) for _ in range(5)]
    await asyncio.sleep(0.02)
    assert order == [(Turn.ROUND, 20)] * 3
    following = [asyncio.create_task(one(Turn.FOLLOWING, 5)) for _ in range(5)]
    await asyncio.sleep(0.02)
    assert order[3:] == [(Turn.FOLLOWING, 5)] * 3
    await one(Turn.SOON, 25)
    assert (budget.spent, order[6:]) == (100, [(Turn.SOON, 25)])
    await asyncio.wait_for(asyncio.gather(*rounds, *following), 3)
    assert sorted(order[7:]) == [(Turn.ROUND, 20)] * 2 + [(Turn.FOLLOWING, 5)] * 2


async def test_following_has_what_rounds_do_not_need(budget):
    await asyncio.wait_for(asyncio.gather(*(looked(budget, 15, Turn.FOLLOWING) for _ in range(5))), 0.1)
    assert budget.spent == 75


async def test_patience_is_not_used_up_by_waiting_for_ones_turn(budget):
    budget.spend(100)
    async with patience(0.1):
        await asyncio.gather(looked(budget, 60), looked(budget, 40))
        await asyncio.sleep(0.02)


async def test_patience_is_used_up_by_the_venue_whatever_was_waited_for_before(budget):
    async def asked():
        async with patience(0.05):
            await looked(budget, 1)
            await asyncio.sleep(5)

    budget.spend(100)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asked(), 2)
    assert budget.spent <= 1


async def test_patience_that_has_run_out_is_told_whoever_still_waits_under_it(budget):
    async def late():
        await asyncio.sleep(0.02)
        try:
            await asyncio.sleep(5)
        finally:
            await looked(budget, 1)

    with pytest.raises(TimeoutError):
        async with patience(0.05):
            await asyncio.gather(late(), late())
    assert budget.spent == 2
