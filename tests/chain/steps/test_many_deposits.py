"""Anybody can put many deposits of dust into one transaction, and nobody else's money waits for them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from solders.pubkey import Pubkey
from temporalio.exceptions import ApplicationError

from activities.deposits import AT_ONCE, DepositActivities, DepositCursor
from activities.engine_door import DOOR, EngineDoor
from chain.claims import FoundClaim
from chain.deposits import FoundDeposit
from chain.escrow_view import DepositScan
from chain.events import Deposited, WithdrawalClaimed

OWNER = Pubkey.new_unique()


def of(transaction: str, index: int, slot: int = 2) -> FoundDeposit:
    return FoundDeposit(transaction, index, 1, Deposited(0, slot, OWNER, 16, 1, index))


def claim(transaction: str, amount: int) -> FoundClaim:
    return FoundClaim(transaction, 0, 1, WithdrawalClaimed(0, 2, OWNER, 16, amount, amount))


@pytest.fixture
async def book(door_server: Any) -> AsyncIterator[Any]:
    door_server.accounts = [[16, str(OWNER), 0, 2, 0, 0, 0, 0]]
    door = EngineDoor(door_server.url, "token")
    yield DepositActivities(door, None)._book
    await door.close()


async def test_dust_is_credited_by_the_hundred(door_server: Any, book: Any) -> None:
    scan = DepositScan(tuple(of(f"t{one}", index) for one in range(7) for index in range(31)), "t6", True)
    cursor = await book(DepositCursor(found=0), scan)
    assert (cursor.credited, cursor.amount, cursor.refused) == (217, 217, 0)
    assert [len(one["deposits"]) for one in door_server.commands] == [100, 100, 17]
    assert [one["key"] for command in door_server.commands for one in command["deposits"]] == [
        found.key for found in scan.found
    ]
    # Those that were credited before are counted for nothing.
    again = await book(cursor, DepositScan((*scan.found[-3:], of("new", 0)), "new", True))
    assert (again.credited, again.amount, again.refused) == (218, 218, 0)


async def test_a_claim_is_booked_after_what_was_paid_in_before_it(door_server: Any, book: Any) -> None:
    found = (of("a", 0), of("b", 0), claim("c", 2), of("d", 0))
    cursor = await book(DepositCursor(found=0), DepositScan(found, "d", True))
    assert [one["type"] for one in door_server.commands] == ["CreditDeposits", "ClaimExit", "CreditDeposits"]
    assert (cursor.credited, cursor.claimed) == (3, 2)


async def test_where_one_is_refused_the_others_are_credited_all_the_same(door_server: Any, book: Any) -> None:
    door_server.taken_keys = {"a:1"}
    cursor = await book(DepositCursor(found=0), DepositScan((of("a", 0), of("a", 1), of("a", 2)), "a", True))
    assert (cursor.credited, cursor.refused, cursor.last_refused) == (2, 1, "a:1 key_conflict")


async def test_those_of_a_slot_that_nobody_ordered_are_left_out(door_server: Any, book: Any) -> None:
    cursor = await book(
        DepositCursor(found=0), DepositScan((of("a", 0), of("a", 1, slot=3), of("a", 2)), "a", True)
    )
    assert (cursor.credited, cursor.refused, cursor.last_refused) == (2, 1, "a:1 slot_not_ordered")


async def test_dust_in_a_slot_that_nobody_ordered_is_asked_about_side_by_side(
    door_server: Any, book: Any
) -> None:
    door_server.gate = asyncio.Barrier(AT_ONCE)
    dust = tuple(of("a", index, slot=3) for index in range(2 * AT_ONCE))
    async with asyncio.timeout(2):
        cursor = await book(DepositCursor(found=0), DepositScan(dust, "a", True))
    assert {one["key"] for one in door_server.commands} == {one.key for one in dust}
    assert len(door_server.commands) == cursor.refused == 2 * AT_ONCE
    assert cursor.last_refused == f"{dust[-1].key} slot_not_ordered"
    # What the engine does not answer is asked again, all of it.
    door_server.gate, door_server.taken_keys = None, {dust[1].key}
    with pytest.raises(ApplicationError, match="taken"):
        await book(cursor, DepositScan(dust, "a", True))


async def test_of_two_slots_for_one_newcomer_the_first_that_was_paid_into_is_its_own(
    door_server: Any, book: Any
) -> None:
    """Somebody with the operator's key opened another one in its name: what comes in there is no part of what the books settle."""
    door_server.accounts = []
    door_server.answers[f"{DOOR}/accounts/unbound"] = {
        "accounts": [{"account": 16, "owner": str(OWNER)}],
        "next": 0,
    }
    found = (of("a", 0), of("a", 1, slot=3), of("a", 2))
    cursor = await book(DepositCursor(found=0), DepositScan(found, "a", True))
    assert door_server.bound == {16: (0, 2)}
    credited = [one["key"] for one in door_server.commands if one["type"] == "CreditDeposit"]
    assert credited == ["a:0", "a:2"]
    assert (cursor.credited, cursor.amount) == (2, 2)
    assert (cursor.refused, cursor.last_refused) == (1, "a:1 slot_taken")
