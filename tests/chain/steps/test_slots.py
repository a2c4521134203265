"""Slots for new accounts: one each, whoever opens it and however many pages there are."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor, Unbound
from activities.landing import Lander
from activities.slots import Room, SlotActivities
from chain.rpc import FINALIZED, ChainUnavailable
from fault_proxy import Fault, FaultProxy
from owner_transactions import OwnerTransactions

NEWCOMER = 17
PAGES = 3
FUNDS_MIN = 1_000_000


class Watchers:
    """Workers, of whom each believes that another page has room."""

    def __init__(self, world: Any, ledger: Any, door_url: str, proxy: FaultProxy) -> None:
        self.world, self.proxy = world, proxy
        self.client, self.door = AsyncClient(proxy.url, timeout=0.5), EngineDoor(door_url, "token")
        escrow = world.through(self.client)
        self.steps = [
            SlotActivities(self.door, escrow, Lander(ledger, escrow), world.operator, FUNDS_MIN)
            for _ in range(PAGES)
        ]
        self.one = Unbound(NEWCOMER, str(world.node.funded(FUNDS_MIN).pubkey))

    async def open(self, page: int) -> None:
        """As Temporal has it done: until it is done."""
        for _ in range(20):
            try:
                return await self.steps[page]._open(self.one, Room(page))
            except (ApplicationError, ChainUnavailable):
                await asyncio.sleep(0.05)
        raise AssertionError("no slot was opened")

    async def pages_with(self, account: int) -> list[int]:
        """Pages in which the account has a slot, once all that was sent is decided."""
        height = self.world.node.call("getBlockHeight")
        while self.world.node.call("getBlockHeight") < height + 10:
            await asyncio.sleep(0.02)
        pages = await self.world.escrow.view.pages()
        return [page.index for page in pages for slot in page.slots if slot.account == account]


@pytest.fixture
async def watchers(world: Any, ledger: Any, door_server: Any) -> AsyncIterator[Watchers]:
    for page in range(1, PAGES):
        await world.land(world.escrow.build_create_page(world.operator, page))
    async with FaultProxy(world.node.url) as proxy:
        watchers = Watchers(world, ledger, door_server.url, proxy)
        yield watchers
        await watchers.client.close()
        await watchers.door.close()


@pytest.mark.cell("watch_unbound: open", "duplicate")
async def test_workers_that_mean_different_pages_open_one_slot(watchers: Watchers) -> None:
    await asyncio.gather(*(watchers.open(page) for page in range(PAGES)))
    assert len(await watchers.pages_with(NEWCOMER)) == 1


@pytest.mark.cell("watch_unbound: open", "reply lost")
async def test_a_retry_that_means_another_page_opens_no_second_slot(watchers: Watchers) -> None:
    watchers.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    first = asyncio.create_task(watchers.open(0))
    while watchers.proxy.waiting():
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await watchers.open(1)
    assert await watchers.pages_with(NEWCOMER) == [0]


@pytest.mark.cell("watch_unbound: open", "RPC lies")
async def test_a_lie_about_live_bytes_opens_no_second_slot(watchers: Watchers) -> None:
    watchers.proxy.fail("sendTransaction", Fault.LOSE_ANSWER)
    watchers.proxy.fail("getSignatureStatuses", Fault.BUSY, times=2)
    watchers.proxy.fail("getEpochInfo", Fault.LIE)
    await asyncio.gather(watchers.open(0), watchers.open(2))
    assert len(await watchers.pages_with(NEWCOMER)) == 1


@pytest.mark.parametrize("fault", [Fault.LIE, Fault.STALE])
@pytest.mark.cell("watch_unbound: bind", "RPC lies")
async def test_a_slot_that_a_node_does_not_show_is_bound_where_it_is(
    watchers: Watchers, door_server: Any, fault: Fault
) -> None:
    view, steps = watchers.steps[0]._escrow.view, watchers.steps[0]
    for commitment in ("confirmed", FINALIZED):
        assert len(await view.pages(commitment)) == PAGES
    await watchers.open(0)
    place = await watchers.world.escrow.view.slot_of(NEWCOMER)
    for _ in range(4):
        watchers.proxy.fail("getMultipleAccounts", fault)
        watchers.proxy.fail("getMultipleAccounts", None)
    async with asyncio.timeout(30):
        while not door_server.commands or watchers.proxy.waiting():
            with contextlib.suppress(ApplicationError, ChainUnavailable):
                await steps._place([watchers.one])
    told = {(one["type"], one["account"], one["page"], one["slot"]) for one in door_server.commands}
    assert told == {("BindSlot", NEWCOMER, 0, place.slot.index)}
    assert await watchers.pages_with(NEWCOMER) == [0]


@pytest.mark.cell("watch_unbound: bind", "chain pauses")
async def test_while_the_node_stands_still_nothing_is_bound(watchers: Watchers, door_server: Any) -> None:
    await watchers.open(0)
    pid = watchers.world.node.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ChainUnavailable):
            await watchers.steps[0]._place([watchers.one])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert door_server.commands == []
    async with asyncio.timeout(30):
        while not door_server.commands:
            await watchers.steps[0]._place([watchers.one])
    assert [one["account"] for one in door_server.commands] == [NEWCOMER]


async def test_a_slot_is_opened_for_each_minimum_that_its_owner_holds(watchers: Watchers) -> None:
    """Registering costs nothing, so it must not cost the operator anything either."""
    node, steps = watchers.world.node, watchers.steps[0]
    rich, poor, never = node.funded(2 * FUNDS_MIN + 1), node.funded(FUNDS_MIN - 1), node.funded()
    node.call("requestAirdrop", str(watchers.world.escrow.wallet_of(never.pubkey)), 10**9)
    owners = {30: rich, 31: poor, 32: rich, 33: rich, 34: never}
    unbound = [Unbound(account, str(owner.pubkey)) for account, owner in owners.items()]
    while (await watchers.world.escrow.view.tokens([watchers.world.escrow.wallet_of(rich.pubkey)])) == [0]:
        await asyncio.sleep(0.02)
    assert await steps._place(unbound) == 2
    opened = [account for account in owners if await watchers.pages_with(account)]
    assert opened == [30, 32]
    node.call("perpdexMintTestUsdc", str(poor.pubkey), 1)
    while await steps._place([unbound[1]]) == 0:
        await asyncio.sleep(0.02)
    assert await watchers.pages_with(31) == [0]


class Books:
    """What the engine says: who is done with, and what of all claims it has booked."""

    def __init__(self, door_server: Any) -> None:
        self.server = door_server

    def say(
        self, done_with: list[int], claimed: int = 0, last_withdrawal: int = 0, strangers: Any = ()
    ) -> None:
        self.server.answers["/api/v1/operator/settlement/accounts"] = {
            "seq": 1,
            "batch": 1,
            "status": 5,
            "last_withdrawal": last_withdrawal,
            "reserved": [],
            "claimed": claimed,
            "exits": [],
            "loss_limits": [],
            "done_with": done_with,
            "strangers": list(strangers),
            "left_over": 0,
            "accounts": [],
        }


LEAVER = 16


@pytest.fixture
async def given_up(world: Any, watchers: Watchers) -> Any:
    """The leaver's slot is closed, finally, and the batch after that is sealed."""
    leaver, stayer = await world.agent(LEAVER, 0), await world.agent(20, 10)
    await world.land(world.escrow.build_deposit(stayer, 0, 3, 10))
    await world.land(OwnerTransactions(world.escrow).build_close_account(leaver, 0, 2))
    await world.land(world.escrow.build_open_batch(world.operator, 1, bytes(32), 1))
    await world.land(world.escrow.build_settle_page(world.operator, 1, 0, [(0, 1), (3, -1)]))
    await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)


@pytest.mark.parametrize(
    ("done_with", "claimed", "slot", "holder"),
    [([LEAVER], 0, 2, NEWCOMER), ([], 0, 4, LEAVER), ([LEAVER], 7, 4, LEAVER)],
    ids=["done with", "not done with", "a claim is not booked"],
)
async def test_a_slot_that_was_given_up_is_another_s_when_the_engine_is_done_with_it(
    given_up: Any,
    watchers: Watchers,
    door_server: Any,
    done_with: list[int],
    claimed: int,
    slot: int,
    holder: int,
) -> None:
    Books(door_server).say(done_with, claimed)
    assert await watchers.steps[0]._place([watchers.one]) == 1
    page = await watchers.world.escrow.view.page(0)
    assert page.slots[2].account == holder
    [bound] = door_server.commands
    assert (bound["account"], bound["page"], bound["slot"]) == (NEWCOMER, 0, slot)


FOREIGN = 2**32 - 1


async def test_a_slot_with_a_number_that_the_exchange_never_gave_is_nobody_s_again(
    world: Any, watchers: Watchers, door_server: Any
) -> None:
    """Whoever stole the operator's key co-signs the largest number for himself, and gives up the slot, which keeps it."""
    thief, stayer = await world.agent(LEAVER, 5), await world.agent(20, 10)
    await world.land(world.escrow.build_deposit(thief, 0, 2, 5))
    await world.land(world.escrow.build_deposit(stayer, 0, 3, 10))
    await world.land(world.escrow.build_withdraw(world.operator, thief, 0, 2, 5, FOREIGN))
    await world.land(OwnerTransactions(world.escrow).build_close_account(thief, 0, 2))
    await world.land(world.escrow.build_open_batch(world.operator, 1, bytes(32), 1))
    await world.land(world.escrow.build_settle_page(world.operator, 1, 0, [(0, 1), (3, -1)]))
    await world.land(world.escrow.build_seal_batch(world.operator, 1), FINALIZED)
    books, steps = Books(door_server), watchers.steps[0]
    for last, strangers, found in (
        (FOREIGN - 1, [], []),
        (FOREIGN, [[0, 2]], []),
        (FOREIGN, [[1, 2]], [Room(0, 2)]),
    ):
        books.say([LEAVER], last_withdrawal=last, strangers=strangers)
        assert await steps._given_up() == found
    books.say([LEAVER], last_withdrawal=FOREIGN - 1)
    assert await steps._place([watchers.one]) == 1
    page = await world.escrow.view.page(0)
    assert (page.slots[2].account, page.slots[4].account) == (LEAVER, NEWCOMER)
