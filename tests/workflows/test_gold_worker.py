"""The worker with a router for gold orders: what it starts, and what it says when the chain does not answer."""

import asyncio

import pytest

from chain.evm.gold_orders import VaultOrder
from settings import Settings
from worker import working_gold
from workflows.gold_settlement import GOLD_SETTLEMENT, GoldSettlementWorkflow

ROUTER = "0x" + "0c" * 20


async def test_a_chain_that_does_not_answer_is_told_and_nothing_is_lost(environment, client, tmp_path):
    settings = Settings(
        perpdex_data=tmp_path, evm_rpc_url="http://127.0.0.1:9", evm_chain_id=1, evm_router=ROUTER
    )
    order = VaultOrder("01" * 32, "0x" + "0a" * 20, 1, 5, 3, 0)
    async with asyncio.timeout(60), working_gold(client, settings):
        handle = client.get_workflow_handle(GOLD_SETTLEMENT)
        await handle.execute_update(GoldSettlementWorkflow.place, order)
        while not (trouble := await handle.query(GoldSettlementWorkflow.trouble)):
            await environment.sleep(10)
        assert "sign_gold_batch" in trouble
        assert "no answer from the node" in trouble
    (key,) = (tmp_path / "keys").iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
    await handle.terminate()


@pytest.mark.parametrize("missing", ["evm_rpc_url", "evm_chain_id"])
def test_a_router_without_its_chain_is_refused(missing):
    given = {"evm_rpc_url": "http://127.0.0.1:9", "evm_chain_id": 1, "evm_router": ROUTER}
    del given[missing]
    with pytest.raises(ValueError, match="EVM_ROUTER needs"):
        Settings(**given)
