"""What a vault is worth: its cash and what its positions would bring, in whole micro-USDC.

Net asset value is assets at market value less liabilities (17 CFR 270.2a-4); of a share it is that over the shares there are. A short
position is a liability and counts negatively. Cash is what was paid in and what trades, fees and funding brought or took: a position
is worth its size times its price, whatever margin its venue asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.quantities import MONEY_MAX, MicroUsdc, Nanos, divide_up
from core.tickets import Leg, PriceE8, SizeE8

PER_SHARE_DIGITS: Final = 9
"""Decimals of a dollar in which the value of a share is told."""
# A size times a price is in 1e-16 dollars.
_PER_MICRO: Final = 10**10
PAID_IN_FULL: Final = frozenset({"polymarket", "mock_gold_evm"})
"""Venues that hold all that a position comes to; a short one's price, and as much again."""
MARGINED_SHARE: Final = 10
"""Elsewhere one part in so many of it stays behind a position. Source: Hyperliquid's transfer requirement."""
RESOLVED: Final = "resolved"
"""Standing of a price that is what a leg counts for, for good: its market has ended. It may be 0, and does not grow old."""

NAMED: Final = "operator"
"""Standing of a price that an operator named, because nobody else knew one. It may be 0."""
GIVEN: Final = frozenset({RESOLVED, NAMED})
"""Standings of prices that count whatever they are and of whenever."""


@dataclass(frozen=True)
class PricedLeg:
    """A position and the price it is valued at: whose word that is, and of when. `price` 0: nobody knows one, unless the market of
    the leg has ended at nothing, or an operator says that it is lost."""

    leg: Leg
    size: SizeE8
    price: PriceE8
    price_at: Nanos
    source: str
    standing: str

    @property
    def known(self) -> bool:
        """Whether anybody knows its price."""
        return self.price > 0 or self.standing in GIVEN

    @property
    def value(self) -> MicroUsdc:
        """What it is worth, rounded down: less is owned, or more owed."""
        return MicroUsdc(self.size * self.price // _PER_MICRO)

    @property
    def value_up(self) -> MicroUsdc:
        """What it is worth, rounded up."""
        return MicroUsdc(divide_up(self.size * self.price, _PER_MICRO))


@dataclass(frozen=True)
class Valuation:
    """Cash and priced legs of one instant."""

    cash: MicroUsdc
    legs: Sequence[PricedLeg]

    @property
    def known(self) -> bool:
        """Whether every leg has a price, and the whole can be counted: otherwise nobody knows what the vault is worth."""
        sizes = abs(self.cash) + sum(abs(one.value_up) for one in self.legs)
        return all(one.known for one in self.legs) and sizes <= MONEY_MAX

    @property
    def nav(self) -> MicroUsdc:
        """Net asset value with each leg rounded down, so that venues add up to it: what leavers are paid by."""
        return MicroUsdc(self.cash + sum(one.value for one in self.legs))

    @property
    def nav_up(self) -> MicroUsdc:
        """The same with each leg rounded up: what newcomers pay by, so that rounding gives them nothing of others'."""
        return MicroUsdc(self.cash + sum(one.value_up for one in self.legs))

    @property
    def free(self) -> MicroUsdc:
        """What of the value can be paid out while the positions stand; negative where nothing can. What stays behind each is rounded
        up."""
        return MicroUsdc(self.nav - sum(_behind(one) for one in self.legs))

    def by_venue(self) -> dict[str, MicroUsdc]:
        """Value of the legs at each venue, which with the cash add up to `nav`."""
        found: dict[str, MicroUsdc] = {}
        for one in self.legs:
            found[one.leg.venue] = MicroUsdc(found.get(one.leg.venue, 0) + one.value)
        return found


def _behind(one: PricedLeg) -> int:
    size = max(abs(one.value), abs(one.value_up))
    return size if one.leg.venue in PAID_IN_FULL else divide_up(size, MARGINED_SHARE)


def per_share_e9(nav: int, shares: int) -> int | None:
    """Billionths of a dollar that a whole share is worth, rounded down; None while there are no shares."""
    # Both are millionths: of a dollar, and of a share.
    return nav * 10**PER_SHARE_DIGITS // shares if shares else None
