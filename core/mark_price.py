"""The mark: the median of three views of a market's price, and the average basis that one of them carries."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.quantities import MILLION, SECOND, Nanos, Ppm, Ticks, divide_up
from core.rates import clamp, divide_to_zero

VIEWS_MIN: Final = 2
"""Views that make a mark of their own; with fewer it is the index."""
BASIS_WINDOW: Final = Nanos(150 * SECOND)
"""Time constant of the average of mid less index. Source: Hyperliquid's mark."""

LOOKED_MAX: Final = Nanos(5 * SECOND)
"""Longest time that a mark may catch up at once: what comes after a pause is no surer for the pause."""

_ONE: Final = 1 << 48
_FORGOTTEN: Final = 32
"""After this many windows less than a part in 10**13 of a value is left, below the resolution of `decay`'s use."""
_HALVINGS: Final = 10


def decay(elapsed: int, window: int) -> int:
    """exp(-elapsed / window) in parts of 2**48, within 2**-36; both in nanoseconds, `elapsed` not negative. Integers only.

    The exponent is divided by 2**10 so that five terms of the series suffice, and the result squared ten times; each step
    rounds down, so the same inputs give the same bits everywhere.
    """
    if elapsed >= _FORGOTTEN * window:
        return 0
    small = elapsed * _ONE // (window << _HALVINGS)
    term = result = _ONE
    for power in range(1, 6):
        term = -(term * small // (power * _ONE))
        result += term
    for _ in range(_HALVINGS):
        result = result * result // _ONE
    return result


class MarkTerms(msgspec.Struct, frozen=True, array_like=True):
    """How far a market's mark may be from its index, in parts per million of the index, and how fast that may change per second.

    Half a percent is Lighter's bound on a premium. At a ten-thousandth per second a lie needs 50 s to get there, and as long
    to be forgotten; Hyperliquid's builder markets allow 1 % every 2.5 s.
    """

    basis_max: Ppm = Ppm(5_000)
    drift: Ppm = Ppm(100)


def basis_bound(index: int, terms: MarkTerms, initial: int, maintenance: int) -> int:
    """Ticks that the mark may be away from `index`, rounded down, in a market of these fractions (parts per million).

    At most half of what is between the requirements, whatever the terms say: no mark may liquidate by itself what was just opened at
    the index.
    """
    return min(terms.basis_max, (initial - maintenance) // 2) * index // MILLION


def held_near(price: int, index: int, bound: int) -> Ticks:
    """`price`, no further than `bound` ticks from the index."""
    return Ticks(index + clamp(price - index, bound))


def drifted(price: int, index: int, basis: int, elapsed: int, terms: MarkTerms) -> Ticks:
    """The mark on its way to `price` after `elapsed` nanoseconds, when it was the index plus `basis` ticks before (all in ticks).

    What is bounded is the distance to the index, not the mark: it never stays behind an index that moves. A bound rounds up, so
    that a mark reaches the index in every market.
    """
    step = divide_up(index * terms.drift * max(0, min(elapsed, LOOKED_MAX)), MILLION * SECOND)
    return Ticks(index + basis + clamp(price - index - basis, step))


class Basis(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Average of mid less index in millionths of a tick, and when a mid was last seen."""

    average: int
    at: Nanos


def followed(basis: Basis, bid: int, ask: int, index: int, at: int, window: int = BASIS_WINDOW) -> Basis:
    """The basis after the best quotes `bid` and `ask` (ticks) stood at `at`; the older average counts exp(-elapsed / window).

    It depends on what was seen, not on how often it was looked at. The average rounds towards what was
    seen. An `at` that is not later changes nothing.
    """
    if at <= basis.at:
        return basis
    seen = (bid + ask) * (MILLION // 2) - index * MILLION
    kept = (basis.average - seen) * decay(at - basis.at, window)
    return Basis(seen + divide_to_zero(kept, _ONE), Nanos(at))


def index_with_basis(index: int, basis: Basis, at: int, window: int = BASIS_WINDOW) -> Ticks | None:
    """First view: index plus average basis, to the nearest tick (halves up). `None` once no mid was seen for a whole window."""
    if at - basis.at > window:
        return None
    return _positive((2 * index * MILLION + 2 * basis.average + MILLION) // (2 * MILLION))


def price_of_quotes(bid: int | None, ask: int | None, last: int | None) -> Ticks | None:
    """Second view: the median of best bid, best ask and last fill (ticks); without a fill the middle of the quotes, rounded down.

    `None` unless both sides are quoted: one side alone is anybody's claim.
    """
    if bid is None or ask is None:
        return None
    return _positive(median((bid, ask) if last is None else (bid, ask, last)))


def median(values: Sequence[int]) -> int:
    """The middle value; of an even number the mean of the middle two, rounded down. `values` must not be empty."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2


class MarkPrice(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A mark in ticks; `reduce_only` when too little is known for anybody to open anything at it."""

    price: Ticks
    reduce_only: bool


def mark_price(index: Ticks, with_basis: int | None, of_quotes: int | None, outside: int | None) -> MarkPrice:
    """The median of the valid views (ticks, `None` when invalid): index with basis, the network's quotes, outside perp mids.

    When one is missing the index stands in for it, so that of two views that disagree neither moves the mark past the index. With
    fewer than two the mark is the index, and the market only reduces. Source: Hyperliquid's median of three. Its second view is of
    other people's trades; ours are both of the same quotes, so where there is one from outside they count as one, the mean of
    both (rounded down), and the index has the third say: whoever makes the quotes alone would otherwise outvote everybody.
    """
    valid = [view for view in (with_basis, of_quotes, outside) if view is not None]
    if len(valid) < VIEWS_MIN:
        return MarkPrice(index, True)
    if with_basis is not None and of_quotes is not None and outside is not None:
        valid = [(with_basis + of_quotes) // 2, outside]
    return MarkPrice(Ticks(median([*valid, index])), False)


def _positive(price: int) -> Ticks | None:
    return Ticks(price) if price > 0 else None
