"""An isolated sub-account on the whole network: it trades, its proof holds on chain, and what it made leaves through its parent."""

import asyncio
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import pytest

from activities.schedules import SETTLEMENT_ID
from cli.stack import Stack
from perpdex_sdk import Agent
from perpdex_sdk.agents.population import fund
from perpdex_sdk.messages import RequestClosed
from wiring import engine_door, escrow_client, rpc_url, temporal_client
from workflows.settlement import SettlementWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long]


async def trade(agent: Agent, side: str) -> RequestClosed:
    """A hundredth of a bitcoin at whatever is quoted near the index."""
    market = await agent.rest.market("BTC-PERP")
    factor, tick = Decimal("1.01") if side == "buy" else Decimal("0.99"), Decimal(market.tick)
    limit = (Decimal(market.index) * factor / tick).to_integral_value(ROUND_DOWN) * tick
    closed = await agent.request("BTC-PERP", side, "0.01", limit)
    assert closed.outcome == "filled"
    return closed


async def final(agent: Agent, fill: int) -> int:
    """The batch of a fill, once it is final."""
    async with asyncio.timeout(60):
        while (status := await agent.fill_status(fill)).status != "final":
            await asyncio.sleep(0.2)
    assert status.batch is not None
    return status.batch


async def test_a_sub_account_settles_in_its_parents_slot(stack: Stack, tmp_path: Path) -> None:
    ready, loop = asyncio.Event(), asyncio.get_running_loop()
    await asyncio.to_thread(stack.start_agents, "makers", 2, lambda _: loop.call_soon_threadsafe(ready.set))
    async with asyncio.timeout(60):
        await ready.wait()
    node = rpc_url(stack.settings)
    parent = await Agent.connect(stack.settings.api_url, tmp_path / "desk.json", "desk", rpc_url=node)
    escrow, door = await escrow_client(stack.settings), engine_door(stack.settings)
    await fund(parent, Decimal(1_000))
    sub = await parent.sub_account("BTC-PERP")
    try:
        await parent.transfer(parent.account, sub.account, "400")
        opened = await final(sub, (await trade(sub, "buy")).fills[0])
        assert sub.position("BTC-PERP") == Decimal("0.01")
        whole, part = await parent.prove_balance(opened), await sub.prove_balance(opened)
        assert (await sub.prove_balance()).batch >= opened
        assert (whole.equity, whole.balance) == (600_000_000, 600_000_000)
        assert part.equity > 0

        await final(sub, (await trade(sub, "sell")).fills[0])
        left = (await sub.snapshot()).balance
        assert Decimal(left) != 400
        place = (await parent.snapshot()).escrow
        assert place is not None
        pages = (await escrow.view.snapshot("finalized")).pages
        held = {slot.account: slot.balance for page in pages for slot in page.slots}
        assert held[parent.account] == 600_000_000 + Decimal(left) * 1_000_000
        assert sub.account not in held

        await parent.transfer(sub.account, parent.account, left)
        paid = await parent.withdraw((await parent.snapshot()).balance)
        assert paid.status == "paid", paid
        wallet = escrow.wallet_of(parent.keypair.pubkey())
        amount = (await escrow.client.get_token_account_balance(wallet, "confirmed")).value.amount
        assert int(amount) == 600_000_000 + Decimal(left) * 1_000_000
        state = await door.state()
        assert (state.conserved, state.positions_zero_sum) == (True, True)
        client = await temporal_client(stack.settings)
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
        assert not (await handle.query(SettlementWorkflow.state)).halted
    finally:
        await sub.close()
        await parent.close()
        await door.close()
        await escrow.client.close()
        await asyncio.to_thread(stack.stop_agents)
