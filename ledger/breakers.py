"""The audit trail and the ends of markets: how records become rows, and reads of them."""

from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import asdict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.custody_events import ChainAccepted
from core.events import Event, MarketListed, MarketStatusSet
from core.liquidation_events import InsuranceFloorSet
from core.market import MarketStatus
from core.operator_events import (
    EXCHANGE,
    DelistingAnnounced,
    LimitsSet,
    MarketSettled,
    RetryOrdered,
    ReviewOrdered,
    SaleOrdered,
    SettlementHeld,
    SharingOrdered,
    WithdrawalsHeld,
)
from ledger.tables import market_ends, operator_actions

OF_ALL_MARKETS: Final = 0
BEGINNING: Final = "a default of this release"
"""What earlier releases gave as the reason of what an exchange begins with, which is nobody's decision."""


class Action(StrEnum):
    """What was decided."""

    STATUS = "status"
    LISTING = "listing"
    LIMITS = "limits"
    DELISTING = "delisting"
    ANNOUNCED = "delisting_announced"
    WITHDRAWALS = "withdrawals"
    FLOOR = "insurance_floor"
    SALE = "insurance_sale"
    REVIEW = "review"
    SETTLEMENT = "settlement"
    SHARING = "debt_sharing"
    RETRY = "batch_retried"
    CHAIN = "chain_accepted"


class OperatorAction(NamedTuple):
    """One entry of the audit trail. `details` has what was set, in the engine's units; `market` is 0 when it concerns all."""

    seq: int
    at: int
    who: str
    action: str
    market: int
    why: str
    details: dict[str, Any]


class MarketEnd(NamedTuple):
    """How a market was delisted: `price` in ticks, `shared` debts in micro-USDC, `fund` of it from the insurance fund."""

    market: int
    seq: int
    at: int
    price: int
    accounts: int
    shared: int
    fund: int
    uncovered: int
    forced: bool


def action_of(seq: int, event: Event) -> OperatorAction | None:
    """The entry that a record makes in the audit trail; None for records of another kind, and those without a reason."""
    match event:
        case MarketListed(at=at, market=market, who=who, why=why) if who not in ("", EXCHANGE) or why not in (
            "",
            BEGINNING,
        ):
            return OperatorAction(
                seq, at, who, Action.LISTING.value, market.id, why, msgspec.to_builtins(asdict(market))
            )
        case MarketStatusSet(at=at, market=market, status=status, who=who, why=why) if who:
            details: dict[str, Any] = {"status": MarketStatus(status).name.lower()}
            return OperatorAction(seq, at, who, Action.STATUS.value, market, why, details)
        case LimitsSet(at=at, market=market, limits=limits, forced=forced, who=who, why=why):
            details = {name: msgspec.to_builtins(getattr(limits, name)) for name in limits.__struct_fields__}
            return OperatorAction(
                seq, at, who, Action.LIMITS.value, market, why, {**details, "forced": forced}
            )
        case MarketSettled(at=at, market=market, who=who, why=why):
            end = end_of_market(seq, event)
            details = {name: getattr(end, name) for name in MarketEnd._fields[3:]}
            details |= {"until": event.until, "believed": event.believed}
            return OperatorAction(seq, at, who, Action.DELISTING.value, market, why, details)
        case DelistingAnnounced(at=at, market=market, settles_at=settles_at, who=who, why=why):
            return OperatorAction(
                seq, at, who, Action.ANNOUNCED.value, market, why, {"settles_at": settles_at}
            )
        case WithdrawalsHeld(at=at, held=held, who=who, why=why):
            return OperatorAction(seq, at, who, Action.WITHDRAWALS.value, OF_ALL_MARKETS, why, {"held": held})
        case InsuranceFloorSet(at=at, floor=floor, who=who, why=why) if who:
            return OperatorAction(seq, at, who, Action.FLOOR.value, OF_ALL_MARKETS, why, {"floor": floor})
        case SaleOrdered(at=at, market=market, who=who, why=why):
            return OperatorAction(seq, at, who, Action.SALE.value, market, why, {})
        case ReviewOrdered(at=at, account=account, who=who, why=why):
            return OperatorAction(
                seq, at, who, Action.REVIEW.value, OF_ALL_MARKETS, why, {"account": account}
            )
        case SharingOrdered(at=at, account=account, who=who, why=why):
            return OperatorAction(
                seq, at, who, Action.SHARING.value, OF_ALL_MARKETS, why, {"account": account}
            )
        case RetryOrdered(at=at, batch=batch, who=who, why=why):
            return OperatorAction(seq, at, who, Action.RETRY.value, OF_ALL_MARKETS, why, {"batch": batch})
        case ChainAccepted(at=at, who=who, why=why):
            amounts = {name: getattr(event, name) for name in ("left_over", "astray", "lost")}
            details = {**amounts, "accounts": len(event.slots), "strangers": event.strangers}
            return OperatorAction(seq, at, who, Action.CHAIN.value, OF_ALL_MARKETS, why, details)
        case SettlementHeld(at=at, held=held, who=who, why=why):
            return OperatorAction(seq, at, who, Action.SETTLEMENT.value, OF_ALL_MARKETS, why, {"held": held})
        case _:
            return None


def end_of_market(seq: int, event: MarketSettled) -> MarketEnd:
    """The sums of a delisting."""
    shared = sum(max(0, end.shared) for end in event.positions)
    return MarketEnd(
        event.market,
        seq,
        event.at,
        event.price,
        len(event.positions),
        shared,
        event.fund,
        event.uncovered,
        event.forced,
    )


async def actions_before(connection: AsyncConnection, before: int, limit: int) -> list[OperatorAction]:
    """Up to `limit` entries with sequences below `before` (0: from the newest), newest first."""
    wanted = select(operator_actions).order_by(operator_actions.c.seq.desc()).limit(limit)
    if before:
        wanted = wanted.where(operator_actions.c.seq < before)
    return [OperatorAction(**row._mapping) for row in await connection.execute(wanted)]


async def market_end(connection: AsyncConnection, market: int) -> MarketEnd | None:
    """How a market ended; None when it has not."""
    found = await connection.execute(select(market_ends).where(market_ends.c.market == market))
    row = found.first()
    return MarketEnd(**{**row._mapping, "forced": bool(row.forced)}) if row is not None else None
