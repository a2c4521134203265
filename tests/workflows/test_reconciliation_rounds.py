"""The comparison on its own Schedule: silent when all agree, and what it finds stops settlement."""

from dataclasses import replace

from activities.reconciliation import Reconciliation
from activities.settlement import Work
from core.reconciliation import Difference
from workflows.reconciliation import ReconciliationWorkflow
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

AGREES = Reconciliation(0, "", 10, 10, 0, 10, 0, 10, 0, 0)
"""Ten micro-USDC came in, and vault, pages and engine have them."""
DIFFERENT = Difference("balance_differs", 16, "owner", 0, 2, 7, 10, 10)
DIFFERS = replace(AGREES, why="accounts_differ", different=1, differences=[DIFFERENT])
STEPS = {"next_batch": Work(unfinished=0, due=0), "pause_settlement": None}


async def compare(client):
    return await client.execute_workflow(
        ReconciliationWorkflow.run, id="reconciliation", task_queue="test", result_type=Reconciliation
    )


async def test_nothing_is_said_while_all_agree(client, script_of, working):
    script = script_of(**STEPS, reconcile=AGREES)
    async with working(script):
        assert await compare(client) == AGREES
    assert script.names() == ["reconcile"]


async def test_a_difference_names_the_account_and_stops_settlement(client, script_of, working, keep_history):
    script = script_of(**STEPS, reconcile=AGREES)
    async with working(script):
        settlement = await client.start_workflow(SettlementWorkflow.run, id="settlement", task_queue="test")
        await settle_now(settlement)
        script.answers["reconcile"] = [DIFFERS]
        assert await compare(client) == DIFFERS
        assert (await settlement.query(SettlementWorkflow.state)).halted == DIFFERS.sentence()
        assert ("pause_settlement", (DIFFERS.sentence(),)) in script.calls
        await keep_history(client, "reconciliation", "reconciliation")
    assert "account 16 in slot 0/2 (balance_differs): chain 7, engine 10, ledger 10" in DIFFERS.sentence()
