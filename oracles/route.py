"""Where a market's index may come from: its sources, best first, with the limits of each and the rule they count under."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from core.quantities import SECOND, Nanos, Ppm

MINUTE: Final = 60 * SECOND
WINDOW: Final = Nanos(5 * MINUTE)


class Ages(NamedTuple):
    """Up to which age a price counts, the age itself included: for everything, for valuing accounts, for anything at all."""

    full: Nanos
    margin: Nanos
    last: Nanos


LIVE_AGES: Final = Ages(Nanos(10 * SECOND), Nanos(MINUTE), Nanos(60 * MINUTE))
"""Of sources that publish by the second. A minute is Drift's limit for margin; after an hour the world is another one."""
LIVE_CONFIDENCE_MAX: Final = Ppm(5_000)
"""Half a percent: several times what a liquid market has on a bad day."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A source, and within what it is believed.

    `publisher` is whose word it brings: two ways to the same publisher are one voice. `max_confidence` is the largest share of the
    price that its confidence may be. A `witness` confirms or contradicts others but never is the index: a perp's mid holds a basis.
    """

    source: str
    publisher: str
    ages: Ages
    max_confidence: Ppm
    witness: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """How sources count together.

    `quorum` publishers, the chosen one among them, must be within `tolerance` of it. `max_deviation` is the largest distance from
    the route's own average over `window`; None where prices may jump at will.
    """

    quorum: int
    tolerance: Ppm
    max_deviation: Ppm | None
    window: Nanos = WINDOW


AGREED: Final = Rule(quorum=2, tolerance=Ppm(10_000), max_deviation=Ppm(500_000))
"""Live, with several publishers: two agree to one percent, twice what a push oracle lets the price move before it publishes."""
ALONE: Final = Rule(quorum=1, tolerance=Ppm(0), max_deviation=Ppm(200_000))
"""Live, with one publisher by the operator's choice: nobody confirms it, so its own average binds it tighter."""
PLAYED: Final = Rule(quorum=1, tolerance=Ppm(0), max_deviation=None)
"""A recording or made-up prices: the only source by design, right by definition, and free to jump where a recording begins anew."""


@dataclass(frozen=True, slots=True)
class Route:
    """The sources of one market, best first.

    Raises `ValueError` when no source could be the index, when a source stands twice, or when there are fewer publishers than the
    rule asks for: such a route could never be valid.
    """

    symbol: str
    sources: tuple[Limits, ...]
    rule: Rule

    def __post_init__(self) -> None:
        names = [limits.source for limits in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.symbol}: a source stands twice in {names}")
        if all(limits.witness for limits in self.sources):
            raise ValueError(f"{self.symbol}: no source that could be the index")
        publishers = {limits.publisher for limits in self.sources}
        if not 1 <= self.rule.quorum <= len(publishers):
            raise ValueError(
                f"{self.symbol}: {self.rule.quorum} of {len(publishers)} publishers can not agree"
            )
