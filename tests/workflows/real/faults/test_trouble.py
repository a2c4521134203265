"""What an operator sees when settlement cannot go on, that trading does, and that what is repaired goes on by itself."""

from typing import Any

import pytest
from solders.keypair import Keypair
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import TransferParams
from spl.token.instructions import transfer as spl_transfer
from temporalio.api.sdk.v1 import WorkflowMetadata

from activities.schedules import SETTLEMENT_ID, SETTLEMENT_SCHEDULE
from chain.keys import KeypairSigner
from chain.transactions import Budget, SignedTransaction, signed, unsigned
from core.batches import BatchStatus
from fault_proxy import Fault
from matcher.commands import CreditDeposit
from workflows.batch import BatchProgress, BatchWorkflow
from workflows.settlement import SettlementWorkflow, batch_workflow_id

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def details(network: Any, workflow_id: str) -> str:
    """What the Temporal UI shows as current details."""
    handle = network.client.get_workflow_handle(workflow_id)
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(metadata.current_details)


async def traded(network: Any, until: Any) -> None:
    before = (await network.door.state()).seq

    async def more() -> bool:
        return (await network.door.state()).seq > before + 20

    await until(more)


async def test_a_long_run_hands_its_state_to_the_next(network, agree, keep_history):
    await network.settled(6)
    await agree()
    handle = network.settlement()
    newest = (await handle.describe()).run_id
    first = (await handle.describe()).raw_info.first_run_id
    assert newest != first
    assert (await network.state()).settled == len(network.batches)
    await keep_history(network.client, "settlement-loop", SETTLEMENT_ID, first)
    batch = next(batch.batch for batch in network.batches.values() if len(batch.pages) > 1)
    await keep_history(network.client, "batch", batch_workflow_id(batch))


async def test_trouble_is_shown_with_its_reason_and_time_while_trading_goes_on(network, agree, until):
    for method in ("getLatestBlockhash", "getMultipleAccounts"):
        network.proxy.fail(method, Fault.BUSY, times=10**6)
    shown: BatchProgress | None = None

    async def troubled() -> bool:
        nonlocal shown
        batch, status = await network.newest()
        if status == BatchStatus.FINAL:
            return False
        handle = network.client.get_workflow_handle_for(BatchWorkflow.run, batch_workflow_id(batch))
        shown = await handle.query(BatchWorkflow.progress)
        return bool(shown.trouble)

    await network.settling(troubled)
    assert shown is not None
    sentence = next(iter(shown.trouble.values()))
    assert sentence.split(" since ")[0] in ("open_batch", "settle_page", "seal_batch", "publish_status")
    assert "since 20" in sentence
    assert "Node is unhealthy" in sentence
    assert f"**trouble**: {sentence}" in await details(network, batch_workflow_id(shown.batch))
    await traded(network, until)
    network.proxy.heal()
    await agree()


async def test_tokens_of_a_stranger_stop_nothing(network, agree):
    stranger = KeypairSigner(Keypair())
    await network.give(stranger.pubkey, 1_234_567)
    wallet, vault = network.escrow.wallet_of(stranger.pubkey), network.escrow.addresses.vault
    move = TransferParams(TOKEN_PROGRAM_ID, wallet, vault, stranger.pubkey, 1_234_567)

    async def transfer() -> SignedTransaction:
        budget, blockhash = Budget(20_000, 0), await network.escrow.blockhash()
        return await signed(unsigned(stranger.pubkey, spl_transfer(move), budget, blockhash), [stranger])

    await network.land(transfer())
    await agree()
    found = (await network.state()).reconciliation
    assert found.balanced
    assert found.surplus == 1_234_567


async def test_money_that_the_chain_does_not_have_halts_settlement_until_it_is_explained(network, until):
    """The engine credits a deposit that never was."""
    account = (await network.door.cut((await network.newest())[0])).accounts[-1].account
    await network.door.command(CreditDeposit(account, 5_000_000, "no such transaction:0"))

    async def halted() -> bool:
        return bool((await network.state()).halted)

    for _ in range(2):
        await network.settling(halted)
        why = (await network.state()).halted
        # The deposit that never was is told in all, and by its account: the ledger has what the engine has, the chain has not.
        assert why.startswith("the engine credited more than the chain received: ")
        assert f"account {account} in slot " in why
        assert "Halted: the engine credited more" in await details(network, SETTLEMENT_ID)

        async def alarmed(why: str = why) -> bool:
            memo = await (await network.settlement().describe()).memo()
            schedule = await network.client.get_schedule_handle(SETTLEMENT_SCHEDULE).describe()
            noted = schedule.schedule.state.paused and schedule.schedule.state.note
            return memo.get("halted") == noted == why

        await until(alarmed)
        newest = await network.newest()
        await traded(network, until)
        assert await network.newest() == newest
        # Nothing was explained: it compares, finds the same, and halts again.
        finished = (await network.state()).started

        async def tried(finished: int = finished) -> bool:
            state = await network.state()
            # A round that was under way when it halted ends in a halt of its own, and an operator resumes once more.
            if state.halted and state.started == finished:
                await network.settlement().signal(SettlementWorkflow.resume)
            return state.started > finished

        await until(tried)
