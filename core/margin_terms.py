"""A market's margin parameters: tiers by notional, maintenance, and how the initial fraction grows with open interest."""

from typing import Final

import msgspec

from core.quantities import MILLION, MicroUsdc, Ppm

HALF: Final = Ppm(500_000)


class Tier(msgspec.Struct, frozen=True, array_like=True):
    """The part of a position's notional above `above` micro-USDC requires the share `initial` of itself."""

    above: MicroUsdc
    initial: Ppm


class MarginTerms(msgspec.Struct, frozen=True, array_like=True):
    """Margin parameters of one market.

    `tiers` start at zero and rise in both fields; the first is the market's highest leverage. Each tier applies to its own part of
    the notional only, so no requirement jumps at a tier's edge. Between `open_interest_lower` and `open_interest_upper` (micro-USDC
    held long) the initial fractions rise to 100 %; equal bounds mean that they never do. Maintenance is `maintenance_share` of
    the initial fraction before that rise, so growing open interest liquidates nobody. Raises `ValueError` for terms that break this.
    """

    tiers: tuple[Tier, ...]
    open_interest_lower: MicroUsdc = MicroUsdc(0)
    open_interest_upper: MicroUsdc = MicroUsdc(0)
    maintenance_share: Ppm = HALF

    def __post_init__(self) -> None:
        if not self.tiers or self.tiers[0].above != 0:
            raise ValueError("the first tier must start at a notional of zero")
        for lower, upper in zip(self.tiers, self.tiers[1:], strict=False):
            if upper.above <= lower.above or upper.initial < lower.initial:
                raise ValueError("tiers must rise in notional and not fall in their initial fraction")
        if self.tiers[0].initial < 0 or self.tiers[-1].initial > MILLION:
            raise ValueError("initial fractions must lie between 0 and 100 %")
        if not 0 <= self.maintenance_share <= MILLION:
            raise ValueError("maintenance must be a share of the initial fraction")
        if self.open_interest_upper < self.open_interest_lower:
            raise ValueError("open interest must have its lower bound below its upper bound")


def initial_fraction(base: Ppm | int, open_interest: int, lower: int, upper: int) -> Ppm:
    """Initial fraction at an open interest (all three in micro-USDC): `base` up to `lower`, 100 % from `upper` on, a line between.

    Rounded down to a whole part per million, so that the published fraction is the one that is used; the requirement itself
    rounds up. Source: dYdX v4, `base + (open_interest - lower) / (upper - lower) * (1 - base)`.
    """
    if upper <= lower or open_interest <= lower:
        return Ppm(base)
    if open_interest >= upper:
        return Ppm(MILLION)
    return Ppm(base + (open_interest - lower) * (MILLION - base) // (upper - lower))


def maintenance_fraction(initial: Ppm | int, share: Ppm | int = HALF) -> Ppm:
    """Maintenance fraction belonging to an initial fraction before open interest raises it; rounded down to a whole ppm.

    Source: Hyperliquid, half of the initial fraction at the highest leverage; dYdX v4 has the share as a parameter.
    """
    return Ppm(initial * share // MILLION)


class Step(msgspec.Struct, frozen=True, gc=False):
    """One tier ready to use: requirement = (notional * fraction - deduction) / 10**6, rounded up.

    The deductions (millionths of a micro-USDC, exact) are what earlier parts of the notional require less than this tier's fraction.
    """

    above: int
    initial: int
    initial_deduction: int
    maintenance: int
    maintenance_deduction: int

    def initial_of(self, notional: int) -> int:
        """Initial requirement of a notional in this tier, micro-USDC, rounded up."""
        return -((self.initial_deduction - notional * self.initial) // MILLION)

    def maintenance_of(self, notional: int) -> int:
        """Maintenance requirement of a notional in this tier, micro-USDC, rounded up."""
        return -((self.maintenance_deduction - notional * self.maintenance) // MILLION)


def steps(terms: MarginTerms, open_interest: int) -> tuple[Step, ...]:
    """The tiers of `terms` at an open interest in micro-USDC; they change only with it, not with the mark.

    Source of the deductions: Hyperliquid's margin tiers, each adding its edge times the rise of the fraction there.
    """
    made: list[Step] = []
    for tier in terms.tiers:
        initial = initial_fraction(
            tier.initial, open_interest, terms.open_interest_lower, terms.open_interest_upper
        )
        maintenance = maintenance_fraction(tier.initial, terms.maintenance_share)
        if not made:
            made.append(Step(0, initial, 0, maintenance, 0))
            continue
        last = made[-1]
        made.append(
            Step(
                tier.above,
                initial,
                last.initial_deduction + tier.above * (initial - last.initial),
                maintenance,
                last.maintenance_deduction + tier.above * (maintenance - last.maintenance),
            )
        )
    return tuple(made)
