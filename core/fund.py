"""What the insurance fund may take over: it trades for itself like anybody, but with everybody's last money.

What it already holds is bound by margin alone, like any account's (`docs/reference/risk/liquidation.md` says why).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from core.account_risk import RiskMark, account_risk, counts_for
from core.position import Position
from core.quantities import MILLION, SECOND, Lots, MarketId, MicroUsdc

MARKET_SHARE: Final = 250_000
"""Parts per million of what the fund has above its floor that one market's initial requirement may take up."""
DRAWDOWN: Final = 250_000
"""Parts per million of what the fund had when the period began that it may lose by taking accounts over within it."""
PERIOD: Final = 86_400 * SECOND
"""A day of UTC, in nanoseconds."""

NO_ENDS: Final[Mapping[int, int]] = MappingProxyType({})
"""No market is in its last hour."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A position to close: signed lots and the micro-USDC, signed alike, that they must bring."""

    market: MarketId
    size: Lots
    value: MicroUsdc


class Fund(msgspec.Struct, frozen=True):
    """The fund as things stand, micro-USDC: its balance, less what its positions in markets in their last hour count for less than at
    the mark, and its positions, the `floor` that it keeps, and its equity when the period `began`, with what was paid in since."""

    balance: int
    positions: Mapping[int, Position]
    floor: int
    began: int


def may_take(
    fund: Fund,
    parts: Sequence[Part],
    marks: Mapping[int, RiskMark],
    ends: Mapping[int, int] = NO_ENDS,
) -> bool:
    """Whether the fund may take these parts over at their values; otherwise the account is deleveraged.

    What it has afterwards above its floor must cover the initial requirement of all that it then holds. Where its position grows, that
    market's requirement is bounded by `MARKET_SHARE`, and altogether by `DRAWDOWN`: past that it takes only what makes it smaller.
    What it holds in a market's last hour counts for no more than it would settle at (`ends`, micro-USDC per lot).
    Source: dYdX v4 bounds its fund's loss per block, Drift each market's draw on it.
    """
    before = account_risk(fund.balance, fund.positions, marks)
    equity, initial, grows = before.equity, before.initial, []
    for part in parts:
        own = fund.positions[part.market].size if part.market in fund.positions else 0
        mark = marks[part.market]
        value, end = mark.value_per_lot, ends.get(part.market)
        equity += counts_for(own + part.size, value, end) - counts_for(own, value, end) - part.value
        required = mark.initial_of(own + part.size)
        initial += required - mark.initial_of(own)
        if abs(own + part.size) > abs(own):
            grows.append(required)
    spare = equity - fund.floor
    if spare < initial:
        return False
    kept = equity * MILLION >= fund.began * (MILLION - DRAWDOWN)
    return not grows or (kept and max(grows) * MILLION <= spare * MARKET_SHARE)
