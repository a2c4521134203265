"""Anybody can put many deposits of dust into one transaction: they are credited side by side."""

import asyncio
from typing import Any

from solders.pubkey import Pubkey

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import EngineDoor
from chain.deposits import FoundDeposit
from chain.escrow_view import DepositScan
from chain.events import Deposited

OWNER = Pubkey.new_unique()


def of(transaction: str, index: int, slot: int = 2) -> FoundDeposit:
    return FoundDeposit(transaction, index, 1, Deposited(0, slot, OWNER, 16, 1, index))


async def test_deposits_of_a_transaction_wait_for_the_engine_together(door_server: Any) -> None:
    door_server.accounts = [[16, str(OWNER), 0, 2, 0, 0, 0, 0]]
    door_server.together = asyncio.Barrier(3)
    scan = DepositScan(tuple(of(one, index) for one in ("a", "b") for index in range(3)), "b", True)
    door = EngineDoor(door_server.url, "token")
    async with asyncio.timeout(20):
        cursor = await DepositActivities(door, None)._book(DepositCursor(found=0), scan)
    await door.close()
    assert (cursor.credited, cursor.amount, cursor.refused) == (6, 6, 0)
    keys = [one["key"] for one in door_server.commands if one["type"] == "CreditDeposit"]
    assert set(keys[:3]) == {"a:0", "a:1", "a:2"}
    assert set(keys[3:]) == {"b:0", "b:1", "b:2"}


async def test_those_of_a_slot_that_nobody_ordered_are_left_out(door_server: Any) -> None:
    door_server.accounts = [[16, str(OWNER), 0, 2, 0, 0, 0, 0]]
    scan = DepositScan((of("a", 0), of("a", 1, slot=3), of("a", 2)), "a", True)
    door = EngineDoor(door_server.url, "token")
    cursor = await DepositActivities(door, None)._book(DepositCursor(found=0), scan)
    await door.close()
    assert (cursor.credited, cursor.refused, cursor.last_refused) == (2, 1, "a:1 slot_not_ordered")
