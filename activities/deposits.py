"""Finalized deposits, and what owners claimed alone, from the chain into the engine, each once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from time import monotonic
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats, pause
from activities.ordered import Ordered, ordered
from chain.claims import FoundClaim
from chain.deposits import FoundDeposit
from chain.escrow import EscrowClient
from chain.escrow_view import DepositScan
from chain.events import Deposited
from chain.layout import EscrowState
from chain.rpc import FINALIZED
from core.accounts import FIRST_AGENT
from matcher.commands import BindSlot, ClaimExit, CreditDeposit, CreditDeposits, SeeStray
from matcher.limits import DEPOSITS_MAX
from matcher.rejections import Code

POLL_S: Final = 1.0
AT_ONCE: Final = 16
"""Questions about strays on their way at one time."""
MISSING: Final = "the escrow counts deposits or claims that the node does not show"
GAPS: Final = 2
"""Looks in a row with something missing, the second of them from the start, before that is called trouble."""
REFUSALS: Final = frozenset(
    {
        Code.ACCOUNT_UNKNOWN,
        Code.SLOT_TAKEN,
        Code.SUB_ACCOUNT_ONLY_TRADES,
        Code.BAD_VALUE,
        Code.KEY_CONFLICT,
    }
)
"""What the engine says of a deposit or claim that cannot be booked, ever. Whatever else stands in the way, such as a token that the
API does not know, says nothing about the money: the cursor stays where it is until that is mended."""


@dataclass
class DepositCursor:
    """How far the chain's deposits have been read. `signature` is the last transaction dealt with, empty at the beginning.

    `amount` is micro-USDC. `refused` counts what the engine would not take: reconciliation shows it as a difference. `claimed` is the
    micro-USDC of claims.

    Up to `signature`, `found` deposits and `exited` micro-USDC of claims were found; a cursor of the time before they were counted
    (-1) reads once from the start. `checked`, `checked_found` and `checked_exited` are the same where the escrow's own totals last
    said that nothing was left out, and `gaps` the looks since then that missed something. So does one of the time before the engine
    was told of claims from slots that the books do not know (`strays_told`).
    """

    signature: str = ""
    credited: int = 0
    amount: int = 0
    refused: int = 0
    last_refused: str = ""
    claimed: int = 0
    found: int = -1
    exited: int = 0
    checked: str = ""
    checked_found: int = 0
    checked_exited: int = 0
    gaps: int = 0
    strays_told: bool = False

    def back(self) -> "DepositCursor":
        """To where nothing was left out yet."""
        return replace(self, signature=self.checked, found=self.checked_found, exited=self.checked_exited)

    def from_the_start(self) -> "DepositCursor":
        return replace(self, checked="", checked_found=0, checked_exited=0).back()


def _gone_on(cursor: DepositCursor, scan: DepositScan) -> DepositCursor:
    if any(0 < one.deposit.number <= cursor.found for one in scan.deposits):
        # A node that no longer knows the transaction to go on from lists everything anew.
        cursor = replace(cursor, found=0, exited=0)
    return replace(
        cursor,
        signature=scan.cursor or "",
        found=cursor.found + len(scan.deposits),
        exited=cursor.exited + sum(one.claim.amount for one in scan.claims),
    )


def _all_found(cursor: DepositCursor, scan: DepositScan, totals: EscrowState | None) -> bool:
    """Whether nothing that the escrow counts is missing. Deposits are numbered without gaps: one that is missing while later ones came
    in meanwhile is noticed by their numbers."""
    counted, exits = (totals.deposit_count, totals.exits) if totals is not None else (0, 0)
    highest = max((one.deposit.number for one in scan.deposits), default=0)
    return cursor.found >= max(counted, highest) and cursor.exited >= exits


def _checked(cursor: DepositCursor) -> DepositCursor:
    return replace(
        cursor,
        checked=cursor.signature,
        checked_found=cursor.found,
        checked_exited=cursor.exited,
        gaps=0,
    )


def _gap(cursor: DepositCursor) -> DepositCursor:
    """An answer left something out: the last one, which is asked for again, or one before that looked whole."""
    again = cursor.from_the_start() if cursor.gaps else cursor.back()
    return replace(again, gaps=cursor.gaps + 1)


def _credit(found: FoundDeposit) -> CreditDeposit:
    return CreditDeposit(found.deposit.account, found.deposit.amount, found.key)


class DepositActivities:
    def __init__(self, door: EngineDoor, escrow: EscrowClient) -> None:
        self._door = door
        self._escrow = escrow

    @activity.defn
    async def watch_deposits(self, cursor: DepositCursor, seconds: float) -> DepositCursor:
        """Credit what comes in for some seconds; returns the cursor to go on from.

        A repeat goes on from the last heartbeat, or from `cursor`: what is credited again changes nothing.
        """
        details = activity.info().heartbeat_details
        if details:
            cursor = DepositCursor(**details[0]) if isinstance(details[0], dict) else details[0]
        if cursor.found < 0 or not cursor.strays_told:
            cursor = replace(cursor, strays_told=True).from_the_start()
        until = monotonic() + seconds
        while True:
            # A node may take longer over an answer than a dead worker may go unnoticed.
            async with heartbeats(cursor):
                # Totals first: what they count is in every list that is asked for afterwards.
                totals = await self._escrow.view.escrow_state(FINALIZED)
                scan = await self._escrow.view.deposits_since(cursor.signature or None)
            async with heartbeats(cursor):
                cursor = await self._book(cursor, scan)
            cursor = _gone_on(cursor, scan)
            if scan.complete:
                whole = _all_found(cursor, scan, totals)
                cursor = _checked(cursor) if whole else _gap(cursor)
                if not whole:
                    self._escrow.view.forget_vault()
                if cursor.gaps > GAPS:
                    activity.heartbeat(cursor)
                    raise ApplicationError(MISSING, type="deposits_missing")
            if monotonic() >= until:
                return cursor
            if not await pause(POLL_S if scan.complete else 0.0, cursor):
                return cursor

    async def _book(self, cursor: DepositCursor, scan: DepositScan) -> DepositCursor:
        if not scan.found:
            return cursor
        deposits, claims = ([one.deposit for one in scan.deposits], [one.claim for one in scan.claims])
        slots = await ordered(self._door, {one.account for one in (*deposits, *claims)})
        deposited: list[FoundDeposit] = []
        for _, group in groupby(scan.found, key=lambda one: one.signature):
            of_one = list(group)
            deposited += [one for one in of_one if isinstance(one, FoundDeposit)]
            for one in of_one:
                if isinstance(one, FoundClaim):
                    # What was paid in before a claim may be what it claimed.
                    cursor = await self._credit_all(cursor, slots, deposited)
                    deposited = []
                    ours = slots.has(one.claim)
                    cursor = await (self._claim(cursor, one) if ours else self._strays(cursor, [one]))
        return await self._credit_all(cursor, slots, deposited)

    async def _strays(
        self, cursor: DepositCursor, strays: Sequence[FoundDeposit | FoundClaim]
    ) -> DepositCursor:
        """Tell of money in slots that are not the books' own; nothing new where its account had that slot when it was booked.

        What was claimed there is in the chain's sum of claims for ever, so the engine keeps it: see `ReleaseExit`. Of what came in it
        keeps nothing, and only says whether it is booked: dust in such a slot costs no more time than so many questions side by side.
        """
        new: list[FoundDeposit | FoundClaim] = []
        for start in range(0, len(strays), AT_ONCE):
            some = strays[start : start + AT_ONCE]
            try:
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(self._booked(one)) for one in some]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
            new += [one for one, booked in zip(some, asked, strict=True) if not booked.result()]
        for one in new:
            activity.logger.error("%s is of a slot that nobody here ordered", one.key)
            refused = f"{one.key} slot_not_ordered"
            cursor = replace(cursor, refused=cursor.refused + 1, last_refused=refused)
        return cursor

    async def _booked(self, stray: FoundDeposit | FoundClaim) -> bool:
        claimed = stray.claim.amount if isinstance(stray, FoundClaim) else 0
        return (await self._door.command(SeeStray(stray.key, claimed))).repeated

    async def _credit_all(
        self, cursor: DepositCursor, slots: Ordered, deposits: Sequence[FoundDeposit]
    ) -> DepositCursor:
        """The oldest first, many by one command: dust, which anybody may pay in by the thousand, keeps nobody waiting."""
        ours = [one for one in deposits if slots.has(one.deposit)]
        for waits, run in groupby(ours, key=lambda one: one.deposit.account in slots.waiting):
            some = list(run)
            if waits:
                # Paid into before its binding was told to the engine. Of several slots in its name the first one is the account's.
                cursor = await self._credit_each(cursor, some)
                continue
            for start in range(0, len(some), DEPOSITS_MAX):
                cursor = await self._credit_many(cursor, some[start : start + DEPOSITS_MAX])
        return await self._strays(cursor, [one for one in deposits if not slots.has(one.deposit)])

    async def _credit_many(self, cursor: DepositCursor, deposits: Sequence[FoundDeposit]) -> DepositCursor:
        try:
            answer = await self._door.command(CreditDeposits(tuple(map(_credit, deposits))))
        except ApplicationError as error:
            if error.type not in REFUSALS:
                raise
            return await self._credit_each(cursor, deposits)
        amounts = [event["amount"] for event in answer.events if event["type"] == "DepositCredited"]
        return replace(cursor, credited=cursor.credited + len(amounts), amount=cursor.amount + sum(amounts))

    async def _credit_each(self, cursor: DepositCursor, deposits: Sequence[FoundDeposit]) -> DepositCursor:
        """One after the other, each after its slot is bound: where the engine refuses one of them, or waits to be told of the slot."""
        for found in deposits:
            try:
                await self._bind(found.deposit)
                answer = await self._door.command(_credit(found))
            except ApplicationError as error:
                if error.type not in REFUSALS:
                    raise
                activity.logger.error("the engine refuses deposit %s: %s", found.key, error.message)
                cursor = replace(cursor, refused=cursor.refused + 1, last_refused=f"{found.key} {error.type}")
            else:
                if not answer.repeated:
                    amount = cursor.amount + found.deposit.amount
                    cursor = replace(cursor, credited=cursor.credited + 1, amount=amount)
        return cursor

    async def _bind(self, deposit: Deposited) -> None:
        if deposit.account >= FIRST_AGENT:
            await self._door.command(BindSlot(deposit.account, deposit.page, deposit.slot))

    async def _claim(self, cursor: DepositCursor, found: FoundClaim) -> DepositCursor:
        claim = found.claim
        if not claim.amount:
            return cursor
        try:
            answer = await self._door.command(ClaimExit(claim.account, claim.amount, found.key))
        except ApplicationError as error:
            if error.type not in REFUSALS:
                raise
            activity.logger.error("the engine refuses claim %s: %s", found.key, error.message)
            return replace(cursor, refused=cursor.refused + 1, last_refused=f"{found.key} {error.type}")
        return cursor if answer.repeated else replace(cursor, claimed=cursor.claimed + claim.amount)
