"""How far a market's index is believed, and what may be done while it is: the one table of it.

The degrees follow Drift's oracle validity, plus two for an index that several publishers must agree on: there what nobody confirms is
no price. They are totally ordered, so two judgements of the same price combine to the worse one, and a worse index never allows more.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final


class Validity(Enum):
    """Worst first. The numbers are journaled and the names are shown, so both are stable; they say nothing of the order."""

    UNAVAILABLE = 0
    """No source has a price that could be used for anything."""
    DISPUTED = 1
    """Publishers contradict each other and too few agree: nobody knows who is right."""
    VOLATILE = 2
    """Too far from its own recent average: a broken source is likelier than such a move."""
    LONE = 5
    """Nobody is there to confirm it on a route that asks for agreement."""
    UNCERTAIN = 3
    """The source itself says that it hardly knows."""
    STALE = 4
    """Too old to value an account."""
    AGED = 6
    """Too old to trade at, but young enough to value an account."""
    VALID = 7

    @property
    def code(self) -> str:
        """The stable name in messages and metrics."""
        return self.name.lower()

    @property
    def rank(self) -> int:
        """Its place in the order: 0 for the worst."""
        return _RANKS[self]


_RANKS: Final = {validity: rank for rank, validity in enumerate(Validity)}


class Action(StrEnum):
    """What an index is used for."""

    FILL = "fill"
    """Let agents trade: the band around the index binds quotes."""
    MARGIN = "margin"
    """Value accounts for what they may withdraw or open, and warn them."""
    LIQUIDATE = "liquidate"
    """Start and continue liquidations and deleveraging."""
    FUND = "fund"
    """Pay funding on the notional at the index."""
    SETTLE = "settle"
    """Cut a batch: what is settled on chain can be taken out."""


ALLOWED: Final[Mapping[Validity, frozenset[Action]]] = {
    Validity.VALID: frozenset(Action),
    # A market that moved meanwhile would be traded against; equities are right to within seconds.
    Validity.AGED: frozenset({Action.MARGIN, Action.LIQUIDATE, Action.FUND, Action.SETTLE}),
    # As at Drift: an account that was under water at the last price is not helped by waiting, and funding averages an hour.
    Validity.STALE: frozenset({Action.LIQUIDATE, Action.FUND}),
    # As at Drift: doubt is widest in a crash, exactly when bad debt grows by waiting.
    Validity.UNCERTAIN: frozenset({Action.LIQUIDATE}),
    # One publisher may be wrong: what it liquidates, and what leaves at its price, can not be called back.
    Validity.LONE: frozenset(),
    Validity.VOLATILE: frozenset(),
    Validity.DISPUTED: frozenset(),
    Validity.UNAVAILABLE: frozenset(),
}


def worse(one: Validity, other: Validity) -> Validity:
    """What two judgements of the same price come to."""
    return min(one, other, key=_RANKS.__getitem__)


def believed(validity: Validity) -> bool:
    """Whether a price of this validity may be used for anything; one that may not replaces no earlier one."""
    return bool(ALLOWED[validity])


def allowed(validity: Validity, action: Action) -> bool:
    """Whether `action` may be taken at an index of this validity."""
    return action in ALLOWED[validity]
