"""Finalized deposits, and what owners claimed alone, from the chain into the engine, each once."""

from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.engine_door import EngineDoor
from activities.heartbeats import heartbeats, pause
from chain.claims import FoundClaim
from chain.deposits import FoundDeposit
from chain.escrow import EscrowClient
from core.accounts import FIRST_AGENT
from matcher.commands import BindSlot, ClaimExit, CreditDeposit
from matcher.rejections import Code

POLL_S: Final = 1.0
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
    micro-USDC of claims. `claims`: it has read all of them; a cursor of the time before they were booked reads once from the start.
    """

    signature: str = ""
    credited: int = 0
    amount: int = 0
    refused: int = 0
    last_refused: str = ""
    claimed: int = 0
    claims: bool = False


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
        if not cursor.claims:
            cursor = replace(cursor, signature="", claims=True)
        until = monotonic() + seconds
        while True:
            # A node may take longer over an answer than a dead worker may go unnoticed.
            async with heartbeats(cursor):
                scan = await self._escrow.view.deposits_since(cursor.signature or None)
            for found in scan.deposits:
                async with heartbeats(cursor):
                    cursor = await self._credit(cursor, found)
            for claim in scan.claims:
                async with heartbeats(cursor):
                    cursor = await self._claim(cursor, claim)
            cursor = replace(cursor, signature=scan.cursor or "")
            if monotonic() >= until:
                return cursor
            if not await pause(POLL_S if scan.complete else 0.0, cursor):
                return cursor

    async def _credit(self, cursor: DepositCursor, found: FoundDeposit) -> DepositCursor:
        deposit, key = found.deposit, found.key
        try:
            # The slot may have been opened and paid into before its binding was told to the engine.
            if deposit.account >= FIRST_AGENT:
                await self._door.command(BindSlot(deposit.account, deposit.page, deposit.slot))
            answer = await self._door.command(CreditDeposit(deposit.account, deposit.amount, key))
        except ApplicationError as error:
            if error.type not in REFUSALS:
                raise
            activity.logger.error("the engine refuses deposit %s: %s", key, error.message)
            return replace(cursor, refused=cursor.refused + 1, last_refused=f"{key} {error.type}")
        if answer.repeated:
            return cursor
        return replace(cursor, credited=cursor.credited + 1, amount=cursor.amount + deposit.amount)

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
