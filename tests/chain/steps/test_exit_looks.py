"""What a look at owners' requests to leave costs the engine: one that stands, nothing; very many, no more than so many commands."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from temporalio.exceptions import ApplicationError

from activities.engine_door import DOOR, EngineDoor
from activities.exits import BEHIND, ExitActivities
from chain.rpc import FINALIZED, ChainUnavailable
from core.batches import BatchStatus
from core.loss_limit_events import NO_LIMIT
from core.quantities import SECOND
from fault_proxy import Fault, FaultProxy
from owner_transactions import OwnerTransactions

BOOKS, STANDING, STATE, LIMITS = (
    f"{DOOR}/{path}"
    for path in ("settlement/accounts", "settlement/exits", "state", "settlement/loss-limits")
)
ACCOUNT = 16


class Leaving:
    """An owner with a slot on chain that asks for one micro-USDC, and the door as the engine would answer it."""

    def __init__(
        self, world: Any, server: Any, exits: ExitActivities, owner: Any, delay: int, limit_delay: int
    ) -> None:
        self.world, self.server, self.exits, self.owner, self.delay = world, server, exits, owner, delay
        self.behind = False
        server.accounts = [[ACCOUNT, str(owner.pubkey), 0, 2, 0, 0, 0, 0]]
        numbers = (
            "seq",
            "balances_total",
            "deposits",
            "withdrawals",
            "reserved",
            "vault_expected",
            "claimed",
        )
        totals = dict.fromkeys((*numbers, "exits", "loss_limits", "astray"), 0)
        self.state = {
            **totals,
            "exit_delay": delay,
            "limit_delay": limit_delay,
            "conserved": True,
            "positions_zero_sum": True,
            "settlement_held": "",
        }
        self.stand([])

    def stand(self, rows: list[list[Any]]) -> None:
        """The requests that the engine has."""
        self.server.answers[STANDING] = rows
        self.server.answers[STATE] = {**self.state, "exits": len(rows)}

    async def ask(self) -> int:
        """Ask on chain; from when it may be claimed."""
        build = OwnerTransactions(self.world.escrow).build_request_withdrawal(self.owner, 0, 2, 1)
        await self.world.land(build, FINALIZED)
        place = await self.world.escrow.view.slot_of(ACCOUNT, FINALIZED)
        return int(place.slot.exit_at)

    async def take_back(self) -> None:
        build = OwnerTransactions(self.world.escrow).build_cancel_withdrawal_request(self.owner, 0, 2)
        await self.world.land(build, FINALIZED)

    def row(self, exit_at: int, quoting: bool = False, closing: bool = False, at: int = 1) -> list[Any]:
        return [ACCOUNT, str(self.owner.pubkey), 0, 2, 1, exit_at, quoting, closing, at]

    async def look(self) -> tuple[list[str], list[str]]:
        """Commands and reads of one look; `behind` says whether the node was caught showing what was before."""
        self.server.commands.clear()
        self.server.reads.clear()
        self.behind = False
        try:
            await self.exits.look()
        except ApplicationError as error:
            if error.type != "node_behind":
                raise
            self.behind = True
        return [one["type"] for one in self.server.commands], self.server.reads


@pytest.fixture
async def leaving(world: Any, ledger: Any, door_server: Any) -> AsyncIterator[Leaving]:
    owner = await world.agent(ACCOUNT, 0)
    door = EngineDoor(door_server.url, "token")
    limits = (await world.escrow.view.escrow_state()).settings.limits
    exits = ExitActivities(door, world.escrow, ledger)
    yield Leaving(world, door_server, exits, owner, limits.exit_delay, limits.limit_delay)
    await door.close()


async def test_a_request_is_told_once_and_then_costs_no_command_and_no_books(leaving: Leaving) -> None:
    assert await leaving.look() == ([], [STATE])
    exit_at = await leaving.ask()
    assert await leaving.look() == (["RequestExit"], [STATE, STANDING, BOOKS])
    # The engine may have refused it, or have had it claimed: it is not told at every look.
    assert await leaving.look() == ([], [STATE, STANDING])
    leaving.stand([leaving.row(exit_at)])
    assert await leaving.look() == ([], [STATE, STANDING])
    leaving.stand([leaving.row(exit_at, quoting=True, closing=True)])
    assert (await leaving.look())[0] == ["RequestExit", "ReduceForExit"]
    leaving.stand([leaving.row(exit_at + 1)])
    assert (await leaving.look())[0] == []
    leaving.stand([leaving.row(exit_at)])
    await leaving.take_back()
    assert await leaving.look() == (["ReleaseExit"], [STATE, STANDING])


@pytest.mark.parametrize("closing", [False, True])
async def test_a_request_taken_back_is_released_however_the_delay_was_changed_since(
    leaving: Leaving, closing: bool
) -> None:
    """It was made while the delay was a day longer than the escrow's is now."""
    exit_at = await leaving.world.escrow.view.clock() + leaving.delay + 86_400
    leaving.stand([leaving.row(exit_at, closing=closing)])
    assert (await leaving.look())[0] == ["ReleaseExit"]


@pytest.fixture
async def behind(leaving: Leaving, ledger: Any) -> AsyncIterator[tuple[Leaving, FaultProxy, Any]]:
    """The same looks through a proxy to the node, and a way to start the worker anew."""
    async with FaultProxy(leaving.world.node.url) as proxy:
        client = AsyncClient(proxy.url, timeout=0.5)
        door = EngineDoor(leaving.server.url, "token")
        escrow = leaving.world.through(client)

        def start_anew() -> None:
            leaving.exits = ExitActivities(door, escrow, ledger)

        start_anew()
        yield leaving, proxy, start_anew
        await door.close()
        await client.close()


@pytest.mark.parametrize("fault", [Fault.STALE, Fault.LIE])
@pytest.mark.cell("watch_exits: request", "RPC lies")
@pytest.mark.cell("watch_exits: release", "RPC lies")
async def test_a_node_that_shows_the_pages_as_they_were_releases_nothing(behind: Any, fault: Fault) -> None:
    leaving, proxy, start_anew = behind
    # What it shows later was true in an earlier second than the request.
    assert (await leaving.look())[0] == []
    before = await leaving.world.escrow.view.clock()
    while await leaving.world.escrow.view.clock() == before:
        await asyncio.sleep(0.02)
    exit_at = await leaving.ask()
    proxy.fail("getMultipleAccounts", fault, times=100)
    assert (await leaving.look())[0] == []
    proxy.heal()
    assert (await leaving.look())[0] == ["RequestExit"]
    leaving.stand([leaving.row(exit_at, at=(exit_at - leaving.delay) * SECOND)])
    for _ in ("with what was seen in mind", "after a start"):
        proxy.fail("getMultipleAccounts", fault, times=100)
        assert (await leaving.look())[0] == []
        proxy.heal()
        start_anew()
    await leaving.take_back()
    assert (await leaving.look())[0] == ["ReleaseExit"]


@pytest.mark.cell("watch_exits: release", "RPC lies")
async def test_one_part_of_many_pages_that_lags_behind_releases_nothing(
    behind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's page comes in another answer than the vault, and a request leaves the escrow as it was."""
    leaving, proxy, start_anew = behind
    monkeypatch.setattr("chain.escrow_view.ACCOUNTS_PER_CALL", 3)
    # The node that lags says later what is true in an earlier second than the request.
    assert (await leaving.look())[0] == []
    before = await leaving.world.escrow.view.clock()
    while await leaving.world.escrow.view.clock() == before:
        await asyncio.sleep(0.02)
    exit_at = await leaving.ask()

    def lags() -> None:
        """Escrow twice and the vault are of today, the page is not."""
        proxy.fail("getMultipleAccounts", None, times=3)
        proxy.fail("getMultipleAccounts", Fault.STALE)

    leaving.stand([leaving.row(exit_at, at=(exit_at - leaving.delay) * SECOND)])
    for _ in ("with what was seen in mind", "after a start"):
        lags()
        assert (await leaving.look())[0] == []
        assert proxy.waiting() == 0
        assert (await leaving.look())[0] == []
        start_anew()
    await leaving.take_back()
    assert (await leaving.look())[0] == ["ReleaseExit"]


@pytest.mark.cell("watch_exits: request", "RPC lies")
async def test_a_slot_that_is_far_ahead_blinds_nobody(behind: Any) -> None:
    leaving, proxy, _ = behind
    proxy.fail("getMultipleAccounts", Fault.AHEAD, times=2)
    assert (await leaving.look())[0] == []
    assert proxy.waiting() == 0
    before = await leaving.ask()
    while await leaving.world.escrow.view.clock() + leaving.delay <= before:
        await asyncio.sleep(0.02)
    assert (await leaving.look())[0] == ["RequestExit"]


async def test_a_clock_that_was_ahead_is_not_believed_for_ever(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What most looks in a row say outweighs one."""
    view = leaving.exits._escrow.view
    monkeypatch.setattr("chain.escrow_view._second", lambda clock: 2**40)
    assert (await leaving.look())[0] == []
    monkeypatch.undo()
    await leaving.ask()
    assert await view.clock() < 2**40
    for _ in range(BEHIND - 1):
        assert ((await leaving.look())[0], leaving.behind) == ([], True)
    assert (await leaving.look())[0] == ["RequestExit"]


@pytest.mark.parametrize("fault", [Fault.STALE, Fault.LIE])
@pytest.mark.cell("watch_exits: limit", "RPC lies")
@pytest.mark.cell("watch_exits: delay", "RPC lies")
async def test_an_older_view_of_limits_and_delays_is_not_told(behind: Any, fault: Fault) -> None:
    leaving, proxy, _ = behind
    place = [ACCOUNT, str(leaving.owner.pubkey), 0, 2]
    assert (await leaving.look())[0] == []
    build = OwnerTransactions(leaving.world.escrow).build_set_loss_limit(leaving.owner, 0, 2, 5)
    await leaving.world.land(build, FINALIZED)
    leaving.server.answers[LIMITS] = {
        "batch": 0,
        "status": BatchStatus.FINAL,
        "limited": [],
        "places": [place],
    }
    leaving.stand([])
    leaving.state["exit_delay"] = 1
    leaving.stand([])
    assert (await leaving.look())[0] == ["SeeExitDelay", "SeeLossLimits"]
    leaving.state["exit_delay"] = leaving.server.commands[0]["seconds"]
    leaving.server.answers[LIMITS]["limited"] = [ACCOUNT]
    leaving.stand([])
    proxy.fail("getMultipleAccounts", fault, times=100)
    for _ in range(2):
        assert (await leaving.look())[0] == []


@pytest.mark.cell("watch_exits: request", "chain pauses")
@pytest.mark.cell("watch_exits: limit", "chain pauses")
@pytest.mark.cell("watch_exits: delay", "chain pauses")
@pytest.mark.cell("watch_exits: release", "chain pauses")
async def test_while_the_node_stands_still_nothing_is_told_and_then_all_of_it(behind: Any) -> None:
    leaving, _, start_anew = behind
    pid = leaving.world.node.process.pid

    async def stands_still() -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ChainUnavailable):
                await leaving.look()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert leaving.server.commands == []

    exit_at = await leaving.ask()
    limit = OwnerTransactions(leaving.world.escrow).build_set_loss_limit(leaving.owner, 0, 2, 5)
    await leaving.world.land(limit, FINALIZED)
    place = [ACCOUNT, str(leaving.owner.pubkey), 0, 2]
    leaving.server.answers[LIMITS] = {
        "batch": 0,
        "status": BatchStatus.FINAL,
        "limited": [],
        "places": [place],
    }
    leaving.state["exit_delay"] = 1
    leaving.stand([])
    await stands_still()
    assert (await leaving.look())[0] == ["SeeExitDelay", "SeeLossLimits", "RequestExit"]
    leaving.stand([leaving.row(exit_at)])
    await leaving.take_back()
    await stands_still()
    start_anew()
    assert "ReleaseExit" in (await leaving.look())[0]


async def test_a_slot_that_the_books_give_to_another_says_nothing(leaving: Leaving) -> None:
    leaving.server.accounts = [[ACCOUNT, "somebody else", 0, 2, 0, 0, 0, 0]]
    exit_at = await leaving.ask()
    assert await leaving.look() == ([], [STATE, STANDING, BOOKS])
    assert await leaving.look() == ([], [STATE, STANDING])
    # Nor does it keep up the request of the account that it names.
    leaving.stand([[ACCOUNT, "somebody else", 0, 2, 1, exit_at, False, False, 1]])
    assert (await leaving.look())[0] == ["ReleaseExit"]


async def test_of_very_many_so_many_have_their_turn_at_a_look(
    world: Any, leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.exits.TENDED", 1)
    other = await world.agent(ACCOUNT + 1, 0)
    first = await leaving.ask()
    await world.land(OwnerTransactions(world.escrow).build_request_withdrawal(other, 0, 3, 1), FINALIZED)
    second = (await world.escrow.view.slot_of(ACCOUNT + 1, FINALIZED)).slot.exit_at
    leaving.stand(
        [
            leaving.row(first, closing=True),
            [ACCOUNT + 1, str(other.pubkey), 0, 3, 1, second, False, True, 1],
        ]
    )
    turns = []
    for _ in range(3):
        assert (await leaving.look())[0] == ["ReduceForExit"]
        turns += [one["account"] for one in leaving.server.commands]
    assert turns == [ACCOUNT, ACCOUNT + 1, ACCOUNT]


async def test_a_loss_limit_is_told_when_it_or_the_batch_changes_and_never_read_with_all_accounts(
    leaving: Leaving,
) -> None:
    world, place = leaving.world, [ACCOUNT, str(leaving.owner.pubkey), 0, 2]

    def engine(batch: int, status: BatchStatus, limited: list[int], places: list[Any]) -> None:
        answer = {"batch": batch, "status": status, "limited": limited, "places": places}
        leaving.server.answers[LIMITS] = answer

    async def limit(usdc: int | None) -> None:
        await world.land(
            OwnerTransactions(world.escrow).build_set_loss_limit(leaving.owner, 0, 2, usdc), FINALIZED
        )

    await limit(5)
    engine(0, BatchStatus.FINAL, [], [])
    assert await leaving.look() == ([], [STATE, LIMITS])
    engine(0, BatchStatus.FINAL, [], [place])
    assert await leaving.look() == (["SeeLossLimits"], [STATE, LIMITS])
    engine(0, BatchStatus.FINAL, [ACCOUNT], [])
    for _ in range(2):
        assert await leaving.look() == ([], [STATE, LIMITS])
    # What a look says is about the last batch.
    engine(1, BatchStatus.FINAL, [ACCOUNT], [])
    assert (await leaving.look())[0] == ["SeeLossLimits"]
    await limit(None)
    leaving.server.answers[STATE] = {**leaving.state, "loss_limits": 1}
    assert (await leaving.look())[0] == ["SeeLossLimits"]
    [slot] = leaving.server.commands[0]["slots"]
    assert (slot["account"], slot["limit"]) == (ACCOUNT, NO_LIMIT)
    # Without any limit there is nothing to ask, and until then nothing to tell.
    assert await leaving.look() == ([], [STATE, LIMITS])
    leaving.server.answers[STATE] = leaving.state
    assert await leaving.look() == ([], [STATE])
