"""The sweep: it goes on while something is left, tells trouble, and stops when nothing moves any more."""

from temporalio.exceptions import ApplicationError

from activities.sweep import Reviewed, Sold
from workflows.sweep import ROUNDS, Sweep, SweepWorkflow

NOTHING = Reviewed([], [])


async def swept(client):
    return await client.execute_workflow(SweepWorkflow.run, id="sweep", task_queue="test")


async def test_a_sweep_that_finds_nothing_is_one_round(client, script_of, working):
    script = script_of(review_accounts=NOTHING, sell_inventory=Sold(0, 5))
    async with working(script):
        assert await swept(client) == Sweep(left=5)
    assert script.names() == ["review_accounts", "sell_inventory"]


async def test_it_goes_on_until_liquidations_have_ended_and_the_inventory_is_sold(
    client, script_of, working, keep_history
):
    script = script_of(
        review_accounts=[Reviewed([16], [16]), Reviewed([16, 17], [17]), NOTHING, NOTHING],
        sell_inventory=[Sold(0, 0), Sold(0, 30), Sold(20, 10), Sold(0, 10)],
    )
    async with working(script):
        assert await swept(client) == Sweep([16, 17], [], 20, 10)
        await keep_history(client, "sweep", "sweep")
    assert script.names() == ["review_accounts", "sell_inventory"] * 4


async def test_an_account_about_which_nothing_is_done_is_told_and_holds_up_no_sale(
    client, script_of, working
):
    script = script_of(
        review_accounts=[Reviewed([16], [], [16]), Reviewed([16], [], [16]), Reviewed([16], [16]), NOTHING],
        sell_inventory=[Sold(20, 30), Sold(30, 0), Sold(0, 0), Sold(0, 0)],
    )
    async with working(script):
        assert await swept(client) == Sweep([16], [], 50, 0)
    assert script.names() == ["review_accounts", "sell_inventory"] * 4


async def test_a_sweep_that_leaves_an_account_to_the_next_says_so(client, script_of, working):
    async with working(script_of(review_accounts=Reviewed([16], [], [16]), sell_inventory=Sold(0, 5))):
        left = await swept(client)
    assert left == Sweep([16], left=5, stuck=[16])
    assert "**not_liquidated**: nothing is done about accounts [16]" in left.text()


async def test_trouble_with_the_door_is_told_and_tried_again(client, environment, script_of, working):
    refused = ApplicationError("the engine did not answer", type="engine_unreachable")
    answers = [*[refused] * 8, NOTHING]
    async with working(script_of(review_accounts=answers, sell_inventory=Sold(0, 0))):
        handle = await client.start_workflow(SweepWorkflow.run, id="sweep", task_queue="test")
        while not (sentence := (await handle.query(SweepWorkflow.progress)).trouble):
            await environment.sleep(1)
        assert sentence.endswith("engine_unreachable: the engine did not answer")
        assert await handle.result() == Sweep()


async def test_what_takes_too_long_is_left_to_the_next_sweep(client, script_of, working):
    script = script_of(review_accounts=Reviewed([], [16]), sell_inventory=Sold(0, 0))
    async with working(script):
        assert (await swept(client)).going_on == [16]
    assert script.names().count("review_accounts") == ROUNDS
