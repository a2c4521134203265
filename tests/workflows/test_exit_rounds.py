"""The exits entity: it watches for ever, shows what it saw, and says why it cannot look."""

import asyncio

from temporalio.exceptions import ApplicationError

from activities.exits import ExitsSeen
from workflows.exits import ExitsState, ExitsWorkflow

ROUNDS = 3


async def test_every_round_begins_with_a_look_at_everything(client, script_of, working, keep_history):
    done, rounds = asyncio.Event(), 0

    async def watch(seconds: float) -> ExitsSeen:
        nonlocal rounds
        rounds += 1
        if rounds > ROUNDS:
            done.set()
            await asyncio.Event().wait()
        return ExitsSeen(rounds, "account 16: no price")

    async with working(script_of(watch_exits=watch)):
        handle = await client.start_workflow(ExitsWorkflow.run, id="exits", task_queue="test")
        await done.wait()
        state = await handle.query(ExitsWorkflow.state)
        await keep_history(client, "exits", handle.id)
    assert (state.seen, state.trouble) == (ExitsSeen(ROUNDS, "account 16: no price"), "")
    assert f"leave: {ROUNDS}" in state.text()
    assert "account 16: no price" in state.text()


async def test_a_chain_that_does_not_answer_is_shown_until_it_does(client, script_of, working):
    refusal = ApplicationError("no answer", type="chain_unavailable", non_retryable=True)
    looked = asyncio.Event()

    async def works(seconds: float) -> ExitsSeen:
        looked.set()
        return await asyncio.Event().wait()

    async with working(script_of(watch_exits=[refusal, works])):
        handle = await client.start_workflow(ExitsWorkflow.run, id="exits", task_queue="test")
        while not (trouble := (await handle.query(ExitsWorkflow.state)).trouble):
            await asyncio.sleep(0.05)
        assert "chain_unavailable" in trouble
        await looked.wait()


def test_claims_that_only_one_side_has_are_told_of_whichever_it_is():
    assert "7 micro-USDC of claims are not booked" in ExitsState(ExitsSeen(unbooked=7)).text()
    assert "the books have 7 micro-USDC of claims more" in ExitsState(ExitsSeen(unbooked=-7)).text()
    assert "claims" not in ExitsState(ExitsSeen()).text()
