"""A node that leaves something out of one answer delays a deposit or a claim, and loses none."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solders.signature import Signature
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import EngineDoor
from chain.rpc import FINALIZED, ChainUnavailable
from chain.send import Refused
from fault_proxy import Fault, FaultProxy
from owner_transactions import OwnerTransactions


class Watch:
    """The watch of deposits behind a proxy, one look at a time."""

    def __init__(
        self, world: Any, proxy: FaultProxy, client: AsyncClient, door: EngineDoor, told: Any
    ) -> None:
        self.proxy, self._told = proxy, told
        self._steps = DepositActivities(door, world.through(client))

    async def look(self, cursor: DepositCursor) -> DepositCursor:
        seen: DepositCursor = await ActivityEnvironment().run(self._steps.watch_deposits, cursor, 0.0)
        return seen

    def told(self) -> list[tuple[str, int]]:
        """Kind and micro-USDC of everything that the engine was told of, each key once, in order."""
        parts = [part for one in self._told.commands for part in one.get("deposits", (one,))]
        money = [one for one in parts if one["type"] in ("CreditDeposit", "ClaimExit")]
        return [(one["type"], one["amount"]) for one in {one["key"]: one for one in money}.values()]


@pytest.fixture
async def watch(hasty: Any, door_server: Any) -> AsyncIterator[Watch]:
    async with FaultProxy(hasty.node.url) as proxy, AsyncClient(proxy.url) as client:
        door = EngineDoor(door_server.url, "token")
        yield Watch(hasty, proxy, client, door, door_server)
        await door.close()


@pytest.fixture
async def owner(hasty: Any, door_server: Any) -> Any:
    owner = await hasty.agent(16, 1_000)
    door_server.accounts = [[16, str(owner.pubkey), 0, 2, 0, 0, 0, 0]]
    return owner


async def pay(world: Any, owner: Any, *amounts: int) -> None:
    for amount in amounts:
        await world.land(world.escrow.build_deposit(owner, 0, 2, amount), FINALIZED)


async def leave(world: Any, owner: Any, amount: int) -> None:
    await world.land(OwnerTransactions(world.escrow).build_request_withdrawal(owner, 0, 2, amount))
    while isinstance(
        await world.fate(OwnerTransactions(world.escrow).build_claim_withdrawal(owner, 0, 2), FINALIZED),
        Refused,
    ):
        await asyncio.sleep(0.1)


@pytest.mark.cell("watch_deposits: read", "RPC lies")
async def test_a_deposit_that_one_list_left_out_is_credited_by_the_next(
    hasty: Any, watch: Watch, owner: Any
) -> None:
    await pay(hasty, owner, 10, 20)
    watch.proxy.fail("getSignaturesForAddress", Fault.LIE)
    cursor = await watch.look(DepositCursor())
    assert watch.told() == [("CreditDeposit", 20)]
    cursor = await watch.look(cursor)
    assert sorted(watch.told()) == [("CreditDeposit", 10), ("CreditDeposit", 20)]
    assert (cursor.found, cursor.checked) == (2, cursor.signature)


@pytest.mark.cell("watch_deposits: read", "RPC lies")
async def test_a_deposit_without_logs_is_waited_for(hasty: Any, watch: Watch, owner: Any) -> None:
    await pay(hasty, owner, 10)
    watch.proxy.fail("getTransaction", Fault.LIE)
    with pytest.raises(ChainUnavailable, match="without its logs"):
        await watch.look(DepositCursor())
    await watch.look(DepositCursor())
    assert watch.told() == [("CreditDeposit", 10)]


@pytest.mark.cell("watch_deposits: read", "RPC lies")
async def test_a_claim_that_was_left_out_while_the_totals_were_untrue_is_found_from_the_start(
    hasty: Any, watch: Watch, owner: Any
) -> None:
    await pay(hasty, owner, 10)
    cursor = await watch.look(DepositCursor())
    await leave(hasty, owner, 4)
    await pay(hasty, owner, 20)
    # Twice at once: the list without the claim, and an escrow that is not there, whose totals miss nothing.
    watch.proxy.fail("getSignaturesForAddress", Fault.LIE)
    watch.proxy.fail("getMultipleAccounts", Fault.LIE)
    cursor = await watch.look(cursor)
    for _ in range(3):
        cursor = await watch.look(cursor)
    assert watch.told() == [("CreditDeposit", 10), ("CreditDeposit", 20), ("ClaimExit", 4)]
    assert (cursor.found, cursor.exited) == (2, 4)


async def test_a_node_that_never_shows_a_deposit_is_trouble(hasty: Any, watch: Watch, owner: Any) -> None:
    await pay(hasty, owner, 10, 20)
    watch.proxy.fail("getSignaturesForAddress", Fault.LIE, times=9)
    steps = watch._steps
    with pytest.raises(ApplicationError) as error:
        await ActivityEnvironment().run(steps.watch_deposits, DepositCursor(), 60.0)
    assert error.value.type == "deposits_missing"
    assert watch.told() == [("CreditDeposit", 20)]


async def test_a_node_that_lists_everything_anew_hides_no_gap_of_later(
    hasty: Any, watch: Watch, owner: Any
) -> None:
    await pay(hasty, owner, 10, 20)
    cursor = await watch.look(DepositCursor())
    # It does not know the transaction to go on from: what was found before is found once more, and counted once.
    cursor = await watch.look(replace(cursor, signature=str(Signature.new_unique())))
    assert cursor.found == 2
    await pay(hasty, owner, 30, 40)
    watch.proxy.fail("getSignaturesForAddress", Fault.LIE)
    cursor = await watch.look(cursor)
    assert cursor.gaps == 1
    cursor = await watch.look(cursor)
    assert sorted(amount for _, amount in watch.told()) == [10, 20, 30, 40]
    assert (cursor.found, cursor.gaps) == (4, 0)
