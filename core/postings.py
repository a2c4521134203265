"""Double-entry postings of each event: every event moves money between accounts and never makes or loses any."""

from enum import StrEnum

import msgspec

from core.accounts import CLEARING, INSURANCE, TREASURY
from core.custody_events import ChainAccepted
from core.debt_events import DebtCovered
from core.events import (
    DepositCredited,
    Event,
    Filled,
    FundingSettled,
    WithdrawalFinished,
    WithdrawalReserved,
)
from core.exit_events import ExitClaimed
from core.liquidation_events import Deleveraged, LiquidationSliced, TakenOver
from core.operator_events import MarketSettled
from core.subaccount_events import Transferred

OUTSIDE = 0
"""Pseudo-account of the world outside: its balance is withdrawals minus deposits, so all balances sum to zero."""
RESERVED = 4
"""Withdrawals taken from an agent and not yet paid by the chain."""


class Why(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    RELEASE = "release"
    EXIT = "exit"
    """Claimed from the escrow by the owner alone."""
    REALIZED = "realized"
    FEE = "fee"
    FUNDING = "funding"
    LIQUIDATION_FEE = "liquidation_fee"
    TRANSFER = "transfer"
    """Between an account and its sub-account."""
    SHARED = "shared"
    """A debt of an account below zero, paid by the insurance fund, the treasury or other accounts."""
    ASTRAY = "astray"
    """In slots on chain that the books do not know, or gone from there: the insurance fund bears it."""


class Posting(msgspec.Struct, frozen=True):
    """`amount` micro-USDC move from account `debit` to account `credit`; a negative amount moves the other way."""

    debit: int
    credit: int
    amount: int
    why: Why


def postings(event: Event) -> list[Posting]:
    """Money movements of `event`, exact; empty for events that move none."""
    match event:
        case DepositCredited(account=account, amount=amount):
            return [Posting(OUTSIDE, account, amount, Why.DEPOSIT)]
        case WithdrawalReserved(account=account, amount=amount):
            return [Posting(account, RESERVED, amount, Why.WITHDRAWAL)]
        case WithdrawalFinished(amount=amount, paid=True):
            return [Posting(RESERVED, OUTSIDE, amount, Why.WITHDRAWAL)]
        case WithdrawalFinished(account=account, amount=amount):
            return [Posting(RESERVED, account, amount, Why.RELEASE)]
        case ExitClaimed(account=account, amount=amount, given=given):
            # Sub-accounts have no slot: what the chain pays leaves their parent.
            moved = [Posting(sub, account, part, Why.TRANSFER) for sub, part in given]
            return [*moved, Posting(account, OUTSIDE, amount, Why.EXIT)]
        case Filled() as fill:
            moved = [
                Posting(CLEARING, fill.taker, fill.taker_realized, Why.REALIZED),
                Posting(CLEARING, fill.maker, fill.maker_realized, Why.REALIZED),
                Posting(fill.taker, TREASURY, fill.fee, Why.FEE),
            ]
            return [posting for posting in moved if posting.amount]
        case FundingSettled() as funding:
            # Through clearing, where it leaves nothing: everybody pays and receives at once, and no payer has a receiver of its own.
            kept = ((TREASURY, -funding.treasury), (INSURANCE, -funding.insurance))
            return [
                Posting(account, CLEARING, paid, Why.FUNDING)
                for account, paid in (*funding.payments, *kept)
                if paid
            ]
        case LiquidationSliced(account=account, fee=fee) if fee:
            return [Posting(account, INSURANCE, fee, Why.LIQUIDATION_FEE)]
        case TakenOver(account=account, parts=parts) | Deleveraged(account=account, parts=parts):
            return [
                Posting(CLEARING, who, amount, Why.REALIZED)
                for part in parts
                for who, amount in ((account, part.realized), (part.other, part.other_realized))
                if amount
            ]
        case Transferred(giver=giver, receiver=receiver, amount=amount):
            return [Posting(giver, receiver, amount, Why.TRANSFER)]
        case MarketSettled() as end:
            return _delisted(end)
        case DebtCovered(account=account) as paid:
            by = ((INSURANCE, paid.fund), (TREASURY, paid.treasury), *paid.shares)
            return [Posting(payer, account, amount, Why.SHARED) for payer, amount in by if amount]
        case ChainAccepted(lost=lost) if lost:
            return [Posting(INSURANCE, OUTSIDE, lost, Why.ASTRAY)]
        case _:
            return []


def _delisted(end: MarketSettled) -> list[Posting]:
    """Through clearing, which all of it leaves as if only the positions had closed: what is shared is paid in and out of it."""
    moved = [Posting(INSURANCE, CLEARING, end.fund, Why.SHARED)]
    for position in end.positions:
        moved.append(Posting(CLEARING, position.account, position.realized, Why.REALIZED))
        moved.append(Posting(CLEARING, position.account, position.shared, Why.SHARED))
    return [posting for posting in moved if posting.amount]
