"""The sweep: one review, sales while somebody buys, and trouble is told."""

from temporalio.exceptions import ApplicationError

from activities.sweep import Reviewed, Sold
from workflows.sweep import SALES, Sweep, SweepWorkflow

NOTHING = Reviewed([], [])


async def swept(client):
    return await client.execute_workflow(SweepWorkflow.run, id="sweep", task_queue="test")


async def test_a_sweep_that_finds_nothing_is_one_round(client, script_of, working):
    script = script_of(review_accounts=NOTHING, sell_inventory=Sold(0, 5))
    async with working(script):
        assert await swept(client) == Sweep(left=5)
    assert script.names() == ["review_accounts", "sell_inventory"]


async def test_it_reviews_once_and_sells_as_long_as_somebody_buys(client, script_of, working, keep_history):
    """However many are still being liquidated then: the engine does that by itself, and another sweep is a minute away."""
    script = script_of(
        review_accounts=Reviewed([16], [16, 17]),
        sell_inventory=[Sold(20, 40), Sold(30, 10), Sold(0, 10)],
    )
    async with working(script):
        assert await swept(client) == Sweep([16], [16, 17], 50, 10)
        await keep_history(client, "sweep-reviewed-once", "sweep")
    assert script.names() == ["review_accounts", *["sell_inventory"] * 3]


async def test_an_account_about_which_nothing_is_done_is_told_and_holds_up_no_sale(
    client, script_of, working
):
    script = script_of(review_accounts=Reviewed([16], [], [16]), sell_inventory=[Sold(20, 0), Sold(0, 0)])
    async with working(script):
        assert await swept(client) == Sweep([16], [], 20, 0, stuck=[16])
    assert script.names() == ["review_accounts", *["sell_inventory"] * 2]


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


async def test_a_sale_that_takes_too_long_is_left_to_the_next_sweep_which_reviews_first(
    client, script_of, working
):
    script = script_of(review_accounts=NOTHING, sell_inventory=Sold(1, 500))
    async with working(script):
        assert await swept(client) == Sweep(sold=SALES, left=500)
    assert script.names() == ["review_accounts", *["sell_inventory"] * SALES]
