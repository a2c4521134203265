"""The liquidation waterfall: what happens next to an account, decided anew after every step from nothing but balances and marks."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from core.account_risk import RiskMark, account_risk
from core.fund import NO_ENDS, Part
from core.liquidation import (
    LiquidationTerms,
    Stage,
    closing,
    slice_to_close,
    stage,
)
from core.position import Position, Trade
from core.quantities import Lots, MarketId, Ticks, share_up


class Auction(msgspec.Struct, frozen=True, array_like=True):
    """Makers are asked for `size` lots (signed: what is closed), at `worst` ticks or better for the account."""

    market: MarketId
    size: Lots
    worst: Ticks


class Takeover(msgspec.Struct, frozen=True, array_like=True):
    """The insurance fund trades all parts with the account, which ends at exactly zero."""

    parts: tuple[Part, ...]


class Deleverage(msgspec.Struct, frozen=True, array_like=True):
    """The fund is at its floor: this part goes to `core.deleveraging.deleverage`; what it leaves, the fund must take after all."""

    part: Part


Step = Auction | Takeover | Deleverage


def next_step(
    balance: int,
    positions: Mapping[int, Position],
    marks: Mapping[int, RiskMark],
    terms: Mapping[int, LiquidationTerms],
    tick_values: Mapping[int, int],
    fund_takes: bool,
    within: Collection[int],
    ends: Mapping[int, int] = NO_ENDS,
) -> Step | None:
    """The next step of an account's liquidation, or `None` when it meets its maintenance requirement.

    `tick_values` are the markets' micro-USDC per tick and lot; `fund_takes` says whether the insurance fund could hold what it
    would take (`core.fund.may_take`). Only positions in the markets `within` are touched, which some of those held must be among.
    `ends` are what lots of markets in their last hour would settle at, micro-USDC; `balance` is less what they count for less by.
    Requests and standing quotes are cancelled before the first step.
    """
    risk = account_risk(balance, positions, marks)
    match stage(risk.equity, risk.maintenance):
        case Stage.NONE:
            return None
        case Stage.AUCTION:
            market = heaviest_market({id: positions[id] for id in positions if id in within}, marks)
            size, mark = positions[market].size, marks[market]
            lots = slice_to_close(terms[market], size, mark.value_per_lot)
            part = closing(mark, size, lots, risk.equity, risk.maintenance, ends.get(market))
            worst = part.worst_price(terms[market], tick_values[market])
            return Auction(MarketId(market), Lots(part.size), worst)
        case _:
            parts = bankruptcy_parts(balance, positions, marks, within, ends)
            return Takeover(parts) if fund_takes else Deleverage(parts[0])


def heaviest_market(positions: Mapping[int, Position], marks: Mapping[int, RiskMark]) -> int:
    """The market whose position requires the most maintenance, the lowest number first: closing there helps most."""
    return min(positions, key=lambda market: (-marks[market].maintenance_of(positions[market].size), market))


def bankruptcy_parts(
    balance: int,
    positions: Mapping[int, Position],
    marks: Mapping[int, RiskMark],
    within: Collection[int],
    ends: Mapping[int, int] = NO_ENDS,
) -> tuple[Part, ...]:
    """The positions in the markets `within`, in order of market, with the values that leave exactly nothing if these are all: each
    rounded up, the last taking the rest.

    What is held elsewhere keeps its part of what equity there is, by maintenance; of a debt these positions carry everything, so that
    nothing is left at those marks. `balance` and `ends` as in `next_step`: what leaves is worth no more than its market would settle
    at.
    """
    risk = account_risk(balance, positions, marks)
    equity, maintenance = risk.equity, risk.maintenance
    parts, markets = [], sorted(market for market in positions if market in within)
    if equity < 0:
        maintenance = sum(marks[market].maintenance_of(positions[market].size) for market in markets)
    for market in markets:
        size = positions[market].size
        whole = closing(marks[market], size, abs(size), equity, maintenance, ends.get(market))
        parts.append(Part(MarketId(market), Lots(size), whole.bankruptcy_value))
        equity += whole.bankruptcy_value - whole.value
        maintenance -= whole.freed
    return tuple(parts)


def without_gift(
    parts: Sequence[Part],
    lowest: Sequence[Part],
    worst: Mapping[int, int],
    terms: Mapping[int, LiquidationTerms],
) -> tuple[Part, ...]:
    """The `parts` of an account whose owner keeps a part of its equity, at values that are no gift to it.

    It leaves at no better than the `worst` of its market's mark and index (micro-USDC per lot) less the fee of an auction, rounded up,
    but at nothing less than `lowest`, which would leave nothing of all its equity. Else its owner could choose when others take its
    position at a mark that it knows to be wrong.
    """
    priced = []
    for part, least in zip(parts, lowest, strict=True):
        value = part.size * worst[part.market]
        value -= share_up(abs(value), terms[part.market].fee)
        priced.append(replace(part, value=max(least.value, min(part.value, value))))
    return tuple(priced)


def trade_for_value(size: int, cost: int, change: int, value: int) -> Trade:
    """Trade `change` lots (signed) for `value` micro-USDC in all (signed alike) on a position of `size` lots that cost `cost`.

    What `core.position.trade` does at a price per lot, for values that are none: cost + realized balances value exactly. The cost
    that leaves with a closed part is rounded up; a flip opens its rest for its share of the value, rounded up.
    """
    if size == 0 or (size > 0) == (change > 0):
        return size + change, cost + value, 0
    if abs(change) < abs(size):
        closed = -(-cost * abs(change) // abs(size))
        return size + change, cost - closed, -value - closed
    rest = size + change
    opened = -(-value * rest // change)
    return rest, opened, opened - value - cost
