"""What a look at owners' requests to leave costs the engine: one that stands, nothing; very many, no more than so many commands."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.engine_door import DOOR, EngineDoor
from activities.exits import ExitActivities
from chain.rpc import FINALIZED

BOOKS, STANDING, STATE = (f"{DOOR}/{path}" for path in ("settlement/accounts", "settlement/exits", "state"))
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
