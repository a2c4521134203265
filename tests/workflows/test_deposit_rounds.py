"""The deposits entity: three watches side by side, a cursor that is handed on, and trouble that is shown."""

import asyncio
from dataclasses import replace

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.deposits import DepositCursor
from workflows.deposits import DepositsWorkflow

ROUNDS = 3


async def test_each_round_goes_on_from_the_cursor_of_the_last(
    client: Client, script_of, working, keep_history
):
    done, seen = asyncio.Event(), []

    async def watch(cursor: DepositCursor, seconds: float) -> DepositCursor:
        seen.append(cursor)
        if len(seen) > ROUNDS:
            done.set()
            await asyncio.Event().wait()
        return replace(
            cursor, signature=f"s{len(seen)}", credited=cursor.credited + 1, amount=cursor.amount + 5
        )

    script = script_of(watch_deposits=watch, watch_unbound=1, take_up_withdrawals=None)
    async with working(script):
        handle = await client.start_workflow(DepositsWorkflow.run, id="deposits", task_queue="test")
        await done.wait()
        state = await handle.query(DepositsWorkflow.state)
        await keep_history(client, "deposits", handle.id)
    assert [cursor.signature for cursor in seen] == ["", "s1", "s2", "s3"]
    assert state.cursor == DepositCursor("s3", ROUNDS, 5 * ROUNDS)
    assert state.opened > 0
    assert script.names().count("take_up_withdrawals") == 1


WATCHES = {
    "watch_deposits": "deposits_trouble",
    "watch_unbound": "slots_trouble",
    "take_up_withdrawals": "withdrawals_trouble",
}


async def test_credits_go_on_while_the_other_watches_do_not_come_back(client, script_of, working):
    credited = asyncio.Semaphore(0)

    async def credit(cursor: DepositCursor, seconds: float) -> DepositCursor:
        credited.release()
        await asyncio.sleep(0.01)
        return replace(cursor, credited=cursor.credited + 1)

    async def hangs(*_: object) -> object:
        return await asyncio.Event().wait()

    script = script_of(watch_deposits=credit, watch_unbound=hangs, take_up_withdrawals=hangs)
    async with working(script):
        handle = await client.start_workflow(DepositsWorkflow.run, id="deposits", task_queue="test")
        for _ in range(ROUNDS):
            await credited.acquire()
        assert (await handle.query(DepositsWorkflow.state)).cursor.credited >= ROUNDS - 1


@pytest.mark.parametrize("watch", WATCHES)
async def test_trouble_of_one_watch_is_shown_and_does_not_hold_up_the_others(
    client, script_of, working, watch
):
    refusal = ApplicationError("no answer", type="chain_unavailable", non_retryable=True)
    others = [other for other in WATCHES if other != watch]
    begun = asyncio.Semaphore(0)

    async def works(*_: object) -> object:
        begun.release()
        return await asyncio.Event().wait()

    async with working(script_of(**{watch: refusal}, **dict.fromkeys(others, works))):
        handle = await client.start_workflow(DepositsWorkflow.run, id="deposits", task_queue="test")
        for _ in others:
            await begun.acquire()
        while not (sentence := getattr(await handle.query(DepositsWorkflow.state), WATCHES[watch])):
            pass
        state = await handle.query(DepositsWorkflow.state)
        assert [getattr(state, WATCHES[other]) for other in others] == ["", ""]
    assert sentence.startswith(f"{watch} since ")
    assert sentence.endswith("chain_unavailable: no answer")
