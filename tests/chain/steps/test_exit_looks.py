"""What a look at owners' requests to leave costs the engine: one that stands, nothing; very many, no more than so many commands."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.engine_door import DOOR, EngineDoor
from activities.exits import ExitActivities
from chain.rpc import FINALIZED
from core.batches import BatchStatus
from core.loss_limit_events import NO_LIMIT

BOOKS, STANDING, STATE, LIMITS = (
    f"{DOOR}/{path}"
    for path in ("settlement/accounts", "settlement/exits", "state", "settlement/loss-limits")
)
ACCOUNT = 16


class Leaving:
    """An owner with a slot on chain that asks for one micro-USDC, and the door as the engine would answer it."""

    def __init__(self, world: Any, server: Any, exits: ExitActivities, owner: Any, delay: int) -> None:
        self.world, self.server, self.exits, self.owner = world, server, exits, owner
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
        build = self.world.escrow.owner.build_request_withdrawal(self.owner, 0, 2, 1)
        await self.world.land(build, FINALIZED)
        place = await self.world.escrow.view.slot_of(ACCOUNT, FINALIZED)
        return int(place.slot.exit_at)

    async def take_back(self) -> None:
        build = self.world.escrow.owner.build_cancel_withdrawal_request(self.owner, 0, 2)
        await self.world.land(build, FINALIZED)

    def row(self, exit_at: int, quoting: bool = False, closing: bool = False) -> list[Any]:
        return [ACCOUNT, str(self.owner.pubkey), 0, 2, 1, exit_at, quoting, closing]

    async def look(self) -> tuple[list[str], list[str]]:
        """Commands and reads of one look."""
        self.server.commands.clear()
        self.server.reads.clear()
        await self.exits.look()
        return [one["type"] for one in self.server.commands], self.server.reads


@pytest.fixture
async def leaving(world: Any, ledger: Any, door_server: Any) -> AsyncIterator[Leaving]:
    owner = await world.agent(ACCOUNT, 0)
    door = EngineDoor(door_server.url, "token")
    delay = (await world.escrow.view.escrow_state()).settings.limits.exit_delay
    yield Leaving(world, door_server, ExitActivities(door, world.escrow, ledger), owner, delay)
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
    await leaving.take_back()
    assert await leaving.look() == (["ReleaseExit"], [STATE, STANDING])


async def test_a_slot_that_the_books_give_to_another_says_nothing(leaving: Leaving) -> None:
    leaving.server.accounts = [[ACCOUNT, "somebody else", 0, 2, 0, 0, 0, 0]]
    exit_at = await leaving.ask()
    assert await leaving.look() == ([], [STATE, STANDING, BOOKS])
    assert await leaving.look() == ([], [STATE, STANDING])
    # Nor does it keep up the request of the account that it names.
    leaving.stand([[ACCOUNT, "somebody else", 0, 2, 1, exit_at, False, False]])
    assert (await leaving.look())[0] == ["ReleaseExit"]


async def test_of_very_many_so_many_have_their_turn_at_a_look(
    world: Any, leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.exits.TENDED", 1)
    other = await world.agent(ACCOUNT + 1, 0)
    first = await leaving.ask()
    await world.land(world.escrow.owner.build_request_withdrawal(other, 0, 3, 1), FINALIZED)
    second = (await world.escrow.view.slot_of(ACCOUNT + 1, FINALIZED)).slot.exit_at
    leaving.stand(
        [
            leaving.row(first, closing=True),
            [ACCOUNT + 1, str(other.pubkey), 0, 3, 1, second, False, True],
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
        await world.land(world.escrow.owner.build_set_loss_limit(leaving.owner, 0, 2, usdc), FINALIZED)

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
