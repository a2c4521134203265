"""Gold orders of several vaults from the workflow to the chain and back, through Temporal's test server and a real node."""

import asyncio
import os
import sysconfig
from contextlib import asynccontextmanager

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.gold_settlement import GoldBatch, GoldSettlementActivities, GoldTry
from chain.evm.batch import ANY_PRICE_TO_BUY, EVERYTHING
from chain.evm.gold_market import GoldMarket
from chain.evm.gold_orders import OrderOutcome, VaultOrder
from chain.rpc import ChainUnavailable
from settings import Settings
from worker import working_gold
from workflows.gold_settlement import GOLD_SETTLEMENT, GoldBook, GoldSettlementWorkflow

pytestmark = pytest.mark.anvil
USD, OZ = 10**6, 10**8


@asynccontextmanager
async def temporal():
    server = os.path.join(sysconfig.get_path("scripts"), "temporal-test-server")
    async with (
        asyncio.timeout(60),
        await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=server, data_converter=pydantic_data_converter
        ) as environment,
    ):
        yield environment


async def outcome(environment, handle, order):
    """Once there is one."""
    while (found := await handle.query(GoldSettlementWorkflow.outcome, order.id)) is None:
        await environment.sleep(30)
    return found


async def settled(anvil, orders, waiting=()):
    """What came of each order; all placed in one period, behind those that wait already, by a worker that is replaced once in the
    middle."""
    steps = GoldSettlementActivities(anvil.router_client(), GoldMarket(anvil.node, anvil.router))
    async with temporal() as environment:

        def worker():
            return Worker(
                environment.client,
                task_queue="gold",
                workflows=[GoldSettlementWorkflow],
                activities=[
                    steps.cover_gold_orders,
                    steps.end_gold_batch,
                    steps.find_gold_batch,
                    steps.most_gold_orders,
                    steps.sign_gold_batch,
                    steps.watch_gold_batch,
                ],
                # Each task replays the whole history, as after a crash.
                max_cached_workflows=0,
            )

        handle = await environment.client.start_workflow(
            GoldSettlementWorkflow.run, GoldBook(30, list(waiting)), id=GOLD_SETTLEMENT, task_queue="gold"
        )
        async with worker():
            for order in orders:
                await handle.execute_update(GoldSettlementWorkflow.place, order)
        async with worker():
            outcomes = [await outcome(environment, handle, order) for order in orders]
            history = await handle.fetch_history()
        await handle.terminate()
        return outcomes, history


async def test_orders_of_several_vaults_are_one_transaction(anvil):
    anvil.network.lose_after["eth_sendRawTransaction"] = 1
    orders = [
        VaultOrder("01" * 32, anvil.vaults[0], OZ, ANY_PRICE_TO_BUY, 2_100 * USD, EVERYTHING),
        VaultOrder("02" * 32, anvil.vaults[1], -OZ, 0, 2_000 * USD, 0),
        VaultOrder("03" * 32, anvil.vaults[2], OZ, 1_999 * OZ, 2_000 * USD, 0),
    ]
    outcomes, history = await settled(anvil, orders)
    refused = (f"LimitNotMet({2_000 * OZ}, {1_999 * OZ})", "no_liquidity", OZ)
    assert outcomes == [
        OrderOutcome(orders[0].id, 2_000 * OZ, 100 * USD, size=OZ),
        OrderOutcome(orders[1].id, 2_000 * OZ, 0, size=-OZ),
        OrderOutcome(orders[2].id, 0, 0, *refused),
    ]
    balances = [await anvil.balance(account) for account in (*anvil.vaults, anvil.gold)]
    assert balances == [8_000 * USD, 8_000 * USD, 10_000 * USD, 4_000 * USD]
    # What was sent lies in the workflow's history.
    signer = anvil.sender().address
    assert int(await anvil.rpc("eth_getTransactionCount", signer, "latest"), 16) == 1
    block = await anvil.rpc("eth_blockNumber")
    sent = [
        one["hash"]
        for number in range(int(block, 16) + 1)
        for one in (await anvil.rpc("eth_getBlockByNumber", hex(number), True))["transactions"]
        if one["from"].lower() == signer.lower()
    ]
    assert len(sent) == 1
    assert any(sent[0].encode() in event.SerializeToString() for event in history.events)


async def executed_batches(anvil):
    """Of each transaction of the key: its legs, and the gas that it was given."""
    found, key = [], anvil.sender().address.lower()
    for number in range(int(await anvil.rpc("eth_blockNumber"), 16) + 1):
        block = await anvil.rpc("eth_getBlockByNumber", hex(number), True)
        for one in (each for each in block["transactions"] if each["from"].lower() == key):
            receipt = await anvil.node.receipt(one["hash"])
            told = [event.name for event in anvil.router_client().events(receipt)]
            found.append((told.count("LegExecuted"), int(one["gas"], 16)))
    return found


async def test_a_batch_is_cut_where_its_gas_would_be_more_than_a_transaction_may_have(anvil):
    """One order more than fit: at worst 38 legs of 400,000 are more than 2^24, which nodes of mainnet refuse, and for ever."""
    orders = [
        VaultOrder(f"{number:064x}", anvil.vaults[number % 3], OZ // 100, ANY_PRICE_TO_BUY, 20 * USD, 0)
        for number in range(1, 39)
    ]
    *waiting, last = orders
    outcomes, _ = await settled(anvil, [last], waiting)
    assert outcomes == [OrderOutcome(last.id, 2_000 * OZ, 0, size=OZ // 100)]
    [full, rest] = await executed_batches(anvil)
    assert (full[0], rest[0]) == (37, 1)
    assert 2**24 - 442_869 < full[1] <= 2**24
    assert await anvil.balance(anvil.gold) == 38 * 20 * USD


async def test_a_block_that_is_small_has_room_for_fewer_orders_and_at_least_for_one(anvil):
    steps, run = GoldSettlementActivities(anvil.router_client(), None), ActivityEnvironment().run
    for limit, most in ((30_000_000, 37), (2_000_000, 3), (300_000, 1)):
        await anvil.rpc("evm_setBlockGasLimit", hex(limit))
        await anvil.rpc("evm_mine")
        assert await run(steps.most_gold_orders) == most


async def test_a_batch_of_more_gas_than_a_block_is_refused_and_ends(anvil):
    """What a node that never takes it says is known by its words, and without them its end is told by the chain's time."""
    steps, run = GoldSettlementActivities(anvil.router_client(), None), ActivityEnvironment().run
    now = int((await anvil.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    orders = [VaultOrder(f"{n:064x}", anvil.vaults[0], OZ // 100, 2**63, 20 * USD, 0) for n in range(1, 69)]
    what = GoldTry(GoldBatch("0a" * 32, now + 1_000, orders))
    what.attempts.append(await run(steps.sign_gold_batch, what))
    fate = await run(steps.watch_gold_batch, what)
    assert (fate.kind, fate.reason.split(" --")[0]) == ("refused", "intrinsic gas too high")
    assert await run(steps.end_gold_batch, what.batch) is None
    await anvil.rpc("evm_increaseTime", 1_001)
    assert await run(steps.end_gold_batch, what.batch) is None
    for _ in range(3):
        await anvil.rpc("evm_mine")
    assert (await run(steps.end_gold_batch, what.batch)).kind == "late"


async def test_what_a_node_still_holds_of_a_batch_that_ended_late_fills_nothing(anvil):
    steps, run = GoldSettlementActivities(anvil.router_client(), None), ActivityEnvironment().run
    now = int((await anvil.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    late, following = (
        GoldTry(
            GoldBatch(name * 32, until, [VaultOrder(name * 32, anvil.vaults[0], OZ, 2**63, 2_000 * USD, 0)])
        )
        for name, until in (("0a", now + 1_000), ("0b", 2**40))
    )
    late.attempts.append(await run(steps.sign_gold_batch, late))
    await anvil.rpc("evm_increaseTime", 1_001)
    for _ in range(3):
        await anvil.rpc("evm_mine")
    assert (await run(steps.end_gold_batch, late.batch)).kind == "late"
    # The next batch has its nonce, and then somebody sends what was kept of the late one.
    following.attempts.append(await run(steps.sign_gold_batch, following))
    await anvil.rpc("eth_sendRawTransaction", "0x" + late.attempts[0].raw)
    await anvil.rpc("evm_mine")
    fate = await run(steps.watch_gold_batch, following)
    assert (fate.kind, fate.hash) == ("displaced", late.attempts[0].hash)
    assert (await run(steps.end_gold_batch, late.batch)).kind == "late"
    assert await anvil.balance(anvil.gold) == 0
    following.attempts = [await run(steps.sign_gold_batch, GoldTry(following.batch))]
    assert (await run(steps.watch_gold_batch, following)).kind == "executed"
    assert (await run(steps.end_gold_batch, following.batch)).orders == [
        OrderOutcome("0b" * 32, 2_000 * OZ, 0, size=OZ)
    ]
    assert await anvil.balance(anvil.gold) == 2_000 * USD


async def test_a_ticket_is_covered_by_what_the_node_says_and_its_fill_is_read_there(anvil):
    """What a node is asked for in the driver's name: views in the past, logs by alternatives, a batch that is only tried."""
    market = GoldMarket(anvil.node, anvil.router)
    steps, run = GoldSettlementActivities(anvil.router_client(), market), ActivityEnvironment().run
    poor, ticket = (
        VaultOrder(name * 32, vault, size * OZ, 0, 0, 0, cover=True)
        for name, vault, size in (("01", anvil.vaults[0], 9), ("02", anvil.vaults[1], 1))
    )
    made = await run(steps.cover_gold_orders, [poor, ticket], 0)
    assert [(one.id, one.code) for one in made.refused] == [(poor.id, "insufficient_margin")]
    assert [(one.limit_price, one.cash_in) for one in made.orders] == [(2_020 * OZ, 2_020 * USD)]
    what = GoldTry(GoldBatch("0a" * 32, 2**40, made.orders))
    what.attempts.append(await run(steps.sign_gold_batch, what))
    fate = await run(steps.watch_gold_batch, what)
    assert fate.orders == [OrderOutcome(ticket.id, 2_000 * OZ, 20 * USD, size=OZ)]
    depth = await market.depth()
    assert (await market.held(ticket.vault, depth)).size == OZ
    assert (await market.held(ticket.vault, fate.block - 1)).size == 0
    assert (await market.filled(ticket.vault, ticket.id, depth)).price == 2_000 * OZ
    assert await market.filled(ticket.vault, poor.id, depth) is None
    [fill] = await market.fills(ticket.vault, 0, depth)
    assert (fill.order, fill.size, fill.price) == (ticket.id, OZ, 2_000 * OZ)
    assert await market.fills(anvil.vaults[0], 0, depth) == []
    with pytest.raises(ChainUnavailable, match="before the last batch"):
        await run(steps.cover_gold_orders, [ticket], depth + 100)
    quote = await market.quote()
    assert (quote.price, quote.usable) == (2_000 * OZ, True)


async def test_the_worker_carries_orders_out_by_its_settings(anvil, tmp_path, executor_secret):
    """As it is deployed: key from its file, the real pace of blocks."""
    key = tmp_path / "keys" / "evm-executor.key"
    key.parent.mkdir(mode=0o700)
    key.touch(0o600)
    key.write_text(executor_secret)
    settings = Settings(
        perpdex_data=tmp_path, evm_rpc_url=anvil.url, evm_chain_id=31_337, evm_router=anvil.router
    )
    await anvil.rpc("evm_setIntervalMining", 1)
    order = VaultOrder("01" * 32, anvil.vaults[0], OZ, ANY_PRICE_TO_BUY, 2_100 * USD, EVERYTHING)
    async with temporal() as environment, working_gold(environment.client, settings):
        handle = environment.client.get_workflow_handle(GOLD_SETTLEMENT)
        await handle.execute_update(GoldSettlementWorkflow.place, order)
        assert await outcome(environment, handle, order) == OrderOutcome(
            order.id, 2_000 * OZ, 100 * USD, size=OZ
        )
        await handle.terminate()
    assert await anvil.balance(anvil.vaults[0]) == 8_000 * USD
