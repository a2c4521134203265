"""Whose private stream carries a record, and what of it each is told."""

from typing import Final

from msgspec.structs import replace

from core.accounts import FIRST_AGENT, INSURANCE
from core.debt_events import DebtCovered
from core.debt_events import part_of as debt_part
from core.event import Event
from core.events import (
    AgentRegistered,
    DepositCredited,
    Filled,
    RequestClosed,
    SessionsRevoked,
    SlotBound,
    TierSet,
    WithdrawalFinished,
    WithdrawalReserved,
)
from core.exit_events import ExitClaimed, ExitReleased, ExitRequested
from core.funding_events import FundingSettled, part_of
from core.liquidation_events import (
    Deleveraged,
    FundStanding,
    LiquidationEnded,
    LiquidationSliced,
    LiquidationStarted,
    MarginWarned,
    TakenOver,
)
from core.operator_events import MarketSettled, alone
from core.subaccount_events import SubAccountOpened, Transferred

OF_ONE_ACCOUNT: Final = frozenset(
    {
        AgentRegistered,
        TierSet,
        SlotBound,
        DepositCredited,
        WithdrawalReserved,
        WithdrawalFinished,
        RequestClosed,
        SessionsRevoked,
        LiquidationStarted,
        LiquidationSliced,
        TakenOver,
        LiquidationEnded,
        MarginWarned,
        ExitRequested,
        ExitReleased,
    }
)
"""Records that concern their `account` alone."""

_NOT_SHOWN: Final = FundStanding(0, 0, 0)


def concerns(event: Event) -> tuple[int, ...]:
    """Accounts whose numbered private stream carries this durable event, in order, each once.

    The engine's counters and the ledger's must agree for ever, so both ask here.
    """
    kind = type(event)
    if kind is Filled:
        taker, maker = event.taker, event.maker  # type: ignore[attr-defined]
        return (taker, maker) if taker != maker else (taker,)
    if kind is FundingSettled:
        # The insurance fund's part is nobody's private matter.
        return tuple(account for account, _ in event.payments if account >= FIRST_AGENT)  # type: ignore[attr-defined]
    if kind in OF_ONE_ACCOUNT:
        return (event.account,)  # type: ignore[attr-defined]
    if kind is Deleveraged:
        # The fund's part is nobody's private matter.
        others = {part.other for part in event.parts} - {INSURANCE}  # type: ignore[attr-defined]
        return (event.account, *sorted(others))  # type: ignore[attr-defined]
    if kind is MarketSettled:
        # The insurance fund's part is nobody's private matter.
        return tuple(end.account for end in event.positions if end.account >= FIRST_AGENT)  # type: ignore[attr-defined]
    if kind is ExitClaimed:
        return (event.account, *(account for account, _ in event.given))  # type: ignore[attr-defined]
    if kind is Transferred:
        return event.giver, event.receiver  # type: ignore[attr-defined]
    if kind is SubAccountOpened:
        return event.parent, event.account  # type: ignore[attr-defined]
    if kind is DebtCovered:
        owed_by = (event.account, *(account for account, _ in event.shares))  # type: ignore[attr-defined]
        return tuple(account for account in owed_by if account >= FIRST_AGENT)
    return ()


def seen_by(event: Event, account: int) -> Event:
    """What an account that `event` concerns is told of it: of a record about several accounts only its own part."""
    if isinstance(event, FundingSettled):
        return part_of(event, account)
    if isinstance(event, MarketSettled):
        return alone(event, account)
    if isinstance(event, DebtCovered):
        return debt_part(event, account)
    if isinstance(event, Deleveraged) and account != event.account:
        parts = tuple(part for part in event.parts if part.other == account)
        hidden = {"account": 0, "equity": 0, "maintenance": 0, "fund": _NOT_SHOWN, "left": 0}
        return replace(event, parts=parts, **hidden)
    return event
