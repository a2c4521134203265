"""What an account in trouble is told, and those whose positions are closed against another's."""

from collections.abc import Callable
from typing import Any, Final

from api import outgoing_private as own
from api.units import SIDE_NAMES, Markets, usdc
from core import liquidation_events as le
from core.event import Event
from core.quantities import MILLION

Head = tuple[int, int, int]
"""Number, sequence and instant of an event of a private stream."""


def _warned(markets: Markets, account: int, head: Head, event: le.MarginWarned) -> own.Numbered:
    return own.MarginWarning(*head, _share(event.level), usdc(event.equity), usdc(event.maintenance))


def _started(markets: Markets, account: int, head: Head, event: le.LiquidationStarted) -> own.Numbered:
    return own.LiquidationStarted(*head, event.liquidation, usdc(event.equity), usdc(event.maintenance))


def _sliced(markets: Markets, account: int, head: Head, event: le.LiquidationSliced) -> own.Numbered:
    units = markets[event.market]
    return own.LiquidationSliced(
        *head,
        liquidation=event.liquidation,
        request=event.request,
        market=units.symbol,
        side=SIDE_NAMES[-1 if event.asked > 0 else 1],
        asked=units.size(abs(event.asked)),
        limit=units.price(event.limit),
        mark=units.price(event.mark),
        size=units.size(abs(event.size)),
        value=usdc(abs(event.value)),
        fee=usdc(event.fee),
        equity=usdc(event.equity),
        maintenance=usdc(event.maintenance),
        fills=event.fills,
    )


def _taken_over(markets: Markets, account: int, head: Head, event: le.TakenOver) -> own.Numbered:
    moved = tuple(_given(markets, part) for part in event.parts)
    return own.TakenOver(*head, event.liquidation, usdc(event.equity), usdc(event.maintenance), moved)


def _deleveraged(markets: Markets, account: int, head: Head, event: le.Deleveraged) -> own.Numbered:
    if account == event.account:
        moved = tuple(_given(markets, part) for part in event.parts)
        return own.Deleveraged(*head, event.liquidation, "liquidated", moved)
    moved = tuple(_received(markets, part) for part in event.parts if part.other == account)
    return own.Deleveraged(*head, event.liquidation, "counterparty", moved)


def _ended(markets: Markets, account: int, head: Head, event: le.LiquidationEnded) -> own.Numbered:
    return own.LiquidationEnded(
        *head, event.liquidation, event.why, usdc(event.equity), usdc(event.maintenance)
    )


def _share(parts: int) -> str:
    whole, rest = divmod(parts, MILLION)
    return f"{whole}.{rest:06d}"


def _given(markets: Markets, part: le.Handover) -> own.Moved:
    return _moved(markets, part, -part.size, part.realized, part.cost)


def _received(markets: Markets, part: le.Handover) -> own.Moved:
    return _moved(markets, part, part.size, part.other_realized, part.other_cost)


def _moved(markets: Markets, part: le.Handover, change: int, realized: int, cost: int) -> own.Moved:
    units = markets[part.market]
    worth = part.value if part.size > 0 else -part.value
    return own.Moved(
        units.symbol,
        SIDE_NAMES[1 if change > 0 else -1],
        units.size(abs(change)),
        units.price(part.mark),
        usdc(worth),
        usdc(realized),
        usdc(cost),
    )


RISK: Final[dict[type[Event], Callable[[Markets, int, Head, Any], own.Numbered]]] = {
    le.MarginWarned: _warned,
    le.LiquidationStarted: _started,
    le.LiquidationSliced: _sliced,
    le.TakenOver: _taken_over,
    le.Deleveraged: _deleveraged,
    le.LiquidationEnded: _ended,
}
"""Records of liquidations, each as the account sees it."""
