"""What is said aloud of a snapshot, and what makes it one that nobody deals at."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from core.nav import GIVEN, Valuation
from core.quantities import MILLION, SECOND, Nanos
from core.tickets import Leg, PriceE8, SizeE8, e8_text, notional_up
from core.vault_shares import Mark


class AlertLimits(NamedTuple):
    """What is still said nothing of; anything beyond is an alert. Parts per million are at most a million."""

    stale: Nanos = Nanos(120 * SECOND)
    """How far a price's instant may be from the snapshot's, before or after."""
    jump_ppm: int = 100_000
    """Of the value of a share, from one snapshot to the next."""
    drawdown_ppm: int = 200_000
    """Of the value of a share, below the high-water mark."""


DEFAULT_LIMITS: Final = AlertLimits()


class Kind(StrEnum):
    """Stable."""

    DIFFERENCE = "difference"
    DIFFERENCE_LARGE = "difference_large"
    DIFFERENCE_UNPRICED = "difference_unpriced"
    DRAWDOWN = "drawdown"
    JUMP = "jump"
    NO_PRICE = "no_price"
    STALE_LEG = "stale_leg"
    VENUE_EMPTY = "venue_empty"
    VENUE_SILENT = "venue_silent"


DOUBTS: Final = frozenset(Kind) - {Kind.DIFFERENCE, Kind.DRAWDOWN}
"""Nobody deals and no fee is charged at a snapshot with one of these: the next may show that its value was none."""


class Alert(NamedTuple):
    """`leg` is empty when it is about the whole, and a venue's name alone when it is about all that is there."""

    kind: Kind
    leg: str
    sentence: str


TAKEN_OVER_PPM: Final = 1_000
"""Of a vault's value: what was taken over from venues since the snapshot before may come to so much, all of it added, and no more."""


class TakenOver(NamedTuple):
    """A position that the ledger had as `ours` and took over from its venue as `theirs`, at a price."""

    leg: Leg
    ours: SizeE8
    theirs: SizeE8
    price: PriceE8


class Worth(NamedTuple):
    """Micro-USDC that millionths of a share are worth: a fraction, so that nothing is rounded."""

    nav: int
    shares: int


def alerts(
    at: Nanos,
    found: Valuation,
    shares: int,
    mark: Mark,
    before: Worth | None,
    limits: AlertLimits = DEFAULT_LIMITS,
) -> list[Alert]:
    """Everything to say of a snapshot of instant `at`. `before` is the one before it after its fee, where there were shares."""
    said = list(_of_legs(at, found, limits.stale))
    if found.known:
        return [*said, *_of_value(Worth(found.nav, shares), mark, before, limits)]
    if all(one.known for one in found.legs):
        said.append(Alert(Kind.NO_PRICE, "", "it is worth more than can be counted"))
    return said


def takeovers(found: Valuation, taken: Sequence[TakenOver]) -> list[Alert]:
    """What to say of a snapshot before which positions were taken over, one alert a leg. Sizes at their prices are rounded up."""
    if not taken:
        return []
    moved = sum(notional_up(one.price, SizeE8(abs(one.theirs - one.ours))) for one in taken)
    large = moved * MILLION > max(0, found.nav) * TAKEN_OVER_PPM if found.known else True
    kind = Kind.DIFFERENCE_LARGE if large else Kind.DIFFERENCE
    told: dict[Leg, list[str]] = {}
    for one in taken:
        sentence = f"{e8_text(one.theirs)} there in place of {e8_text(one.ours)}, at {e8_text(one.price)}"
        told.setdefault(one.leg, []).append(sentence)
    return [Alert(kind, str(leg), f"taken over: {'; '.join(some)}") for leg, some in sorted(told.items())]


def _of_legs(at: Nanos, found: Valuation, stale: Nanos) -> Iterator[Alert]:
    for one in found.legs:
        away = abs(at - one.price_at)
        if not one.known:
            yield Alert(Kind.NO_PRICE, str(one.leg), f"nobody knows a price: {one.source}")
        elif away > stale and one.standing not in GIVEN:
            when = "before" if one.price_at < at else "after"
            sentence = f"the price of {one.source} is of {away // SECOND} s {when} the snapshot"
            yield Alert(Kind.STALE_LEG, str(one.leg), sentence)


def _of_value(now: Worth, mark: Mark, before: Worth | None, limits: AlertLimits) -> Iterator[Alert]:
    if not now.shares:
        return
    if before is not None and before.shares and _changed_ppm(now, before) > limits.jump_ppm:
        was = "more" if _above(now, before) else "less"
        share = _changed_ppm(now, before)
        yield Alert(Kind.JUMP, "", f"a share is worth {_percent(share)} {was} than at the snapshot before")
    was_low = before is not None and before.shares > 0 and _below_ppm(before, mark) > limits.drawdown_ppm
    # Said once, as it begins.
    if _below_ppm(now, mark) > limits.drawdown_ppm and not was_low:
        yield Alert(
            Kind.DRAWDOWN, "", f"a share is worth {_percent(_below_ppm(now, mark))} less than its mark"
        )


def _above(one: Worth, other: Worth) -> bool:
    return one.nav * other.shares > other.nav * one.shares


def _changed_ppm(now: Worth, before: Worth) -> int:
    """By how much the value of a share differs, in parts of what it was, rounded down; of nothing, everything is more than all."""
    was, difference = before.nav * now.shares, now.nav * before.shares - before.nav * now.shares
    if was <= 0:
        return MILLION + 1 if difference else 0
    return abs(difference) * MILLION // was


def _below_ppm(now: Worth, mark: Mark) -> int:
    """By how much a share is worth less than the mark, in parts of that, rounded down; negative above it."""
    high = mark.nav * now.shares
    return (high - now.nav * mark.shares) * MILLION // high if high > 0 else 0


def _percent(ppm: int) -> str:
    return f"{ppm // 10_000}.{ppm % 10_000 // 1_000} %"
