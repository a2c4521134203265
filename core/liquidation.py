"""Liquidation: who, how much at a time, down to which price, what the insurance fund gets, and when it takes the rest over.

Closing values are signed like the position: what a long receives is positive, what a short pays is negative. All are micro-USDC.
"""

from enum import IntEnum
from typing import Final

import msgspec

from core.account_risk import RiskMark, counts_for
from core.quantities import MILLION, Lots, MicroUsdc, Ppm, Ticks, divide_up, share_down, share_up

WARNINGS: Final = (Ppm(500_000), Ppm(800_000), Ppm(900_000))
"""Shares of an account's equity that maintenance takes up when its agent is warned; at 100 % liquidation starts."""


LIFTED_AT: Final = Ppm(800_000)
"""A warning holds until the share has fallen to this part of its level, so that a mark that goes to and fro does not repeat it."""


class LiquidationTerms(msgspec.Struct, frozen=True, array_like=True):
    """Liquidation parameters of one market; rates in parts per million.

    `slice_share` of a position is auctioned at a time, all of it once it is worth no more than `whole_up_to` micro-USDC (Hyperliquid:
    20 %, 100,000 USDC). `fee` of the value goes to the insurance fund (0.5 %; GMX has 0.3, Lighter up to 1, dYdX v4 1.5) as far as
    `surplus_share` of what the auction brought above the bankruptcy value allows (Drift: 95 %). The price bound leaves the mark by
    up to `spread` of the maintenance fraction, reached when maintenance is short by one part in `urgency` / 10**6: with these numbers
    at two thirds of maintenance, where the fund takes over, and never beyond the bankruptcy price before.
    """

    slice_share: Ppm = Ppm(200_000)
    whole_up_to: MicroUsdc = MicroUsdc(100_000_000_000)
    fee: Ppm = Ppm(5_000)
    surplus_share: Ppm = Ppm(950_000)
    spread: Ppm = Ppm(666_666)
    urgency: Ppm = Ppm(3_000_000)


DEFAULT_TERMS: Final = LiquidationTerms()


class Stage(IntEnum):
    """What an account's equity calls for."""

    NONE = 0
    AUCTION = 1
    TAKEOVER = 2


def stage(equity: int, maintenance: int) -> Stage:
    """Auction below the maintenance requirement, takeover below two thirds of it. Source: Hyperliquid's backstop."""
    if equity >= maintenance or maintenance == 0:
        return Stage.NONE
    return Stage.TAKEOVER if 3 * equity < 2 * maintenance else Stage.AUCTION


def warning_level(equity: int, maintenance: int) -> Ppm:
    """The highest of `WARNINGS` that maintenance has reached as a share of equity, exactly compared; 0 when none."""
    return max(
        (level for level in WARNINGS if maintenance * MILLION >= equity * level and maintenance),
        default=Ppm(0),
    )


def warning_in_force(last: Ppm | int, equity: int, maintenance: int) -> Ppm:
    """The warning level of an account whose last one was `last`: the highest reached, or the highest up to `last` that still holds."""
    held = (level for level in WARNINGS if level <= last)
    kept = (level for level in held if maintenance * MILLION * MILLION > equity * level * LIFTED_AT)
    return max(warning_level(equity, maintenance), max(kept, default=Ppm(0)))


def compare_risk(equity: int, maintenance: int, other_equity: int, other_maintenance: int) -> int:
    """Positive when the first account is to be liquidated before the other, negative after it, 0 when they are equals.

    By equity per unit of maintenance, then the larger maintenance, then the smaller equity. Source: dYdX v4.
    """
    ratio = other_equity * maintenance - equity * other_maintenance
    return _sign(ratio) or _sign(maintenance - other_maintenance) or _sign(other_equity - equity)


def slice_to_close(terms: LiquidationTerms, size: int, value_per_lot: int) -> Lots:
    """Lots of a position of `size` (signed, not zero) to auction next, rounded up: at least one, at most all."""
    lots = abs(size)
    if lots * value_per_lot > terms.whole_up_to:
        lots = share_up(lots, terms.slice_share)
    return Lots(lots)


class Closing(msgspec.Struct, frozen=True, gc=False):
    """Closing `size` lots (signed): the value that they count for, the maintenance they free, and the account's equity and
    maintenance, of which equity counts them for that value too."""

    size: int
    value: int
    freed: int
    equity: int
    maintenance: int

    @property
    def bankruptcy_value(self) -> MicroUsdc:
        """What the part must bring so that the account keeps its equity per unit of maintenance; rounded up, for the account.

        Equity is shared among what is held by maintenance freed: after all is closed so, exactly nothing is left. It is both Lighter's
        "zero price" and dYdX v4's bankruptcy price, value - equity * freed / maintenance.
        """
        return MicroUsdc(-((self.equity * self.freed - self.value * self.maintenance) // self.maintenance))

    def fillable_value(self, spread: Ppm | int, urgency: Ppm | int) -> MicroUsdc:
        """What the part should bring at least: the worse the account stands, the further from its value; rounded up.

        Source: dYdX v4's fillable price, value - freed * spread * min(1, urgency * (1 - equity / maintenance)).
        """
        short = urgency * (self.maintenance - self.equity)
        most = self.maintenance * MILLION
        given = self.freed * spread * max(0, min(short, most))
        return MicroUsdc(self.value - given // (MILLION * most))

    def furthest_value(self, spread: Ppm | int) -> MicroUsdc:
        """What the part should bring at least of who must be closed however well it stands: as far from the mark as auctions ever go;
        rounded up."""
        return MicroUsdc(self.value - self.freed * spread // MILLION)

    def least_value(self, terms: LiquidationTerms, must_close: bool = False) -> MicroUsdc:
        """The auction's bound: never so little that the account's margin ratio would get worse, or, where it `must_close`, that it
        would end below zero."""
        if must_close:
            return max(self.bankruptcy_value, self.furthest_value(terms.spread))
        return max(self.bankruptcy_value, self.fillable_value(terms.spread, terms.urgency))

    def worst_price(self, terms: LiquidationTerms, tick_value: int, must_close: bool = False) -> Ticks:
        """The auction's bound in ticks, rounded towards the mark: up for a long that sells, down for a short that buys.

        `tick_value` is the market's micro-USDC per tick and lot.
        """
        bound = divide_up(self.least_value(terms, must_close), abs(self.size) * tick_value)
        return Ticks(max(1, bound) if self.size > 0 else max(0, -bound))

    def insurance_delta(self, brought: int, fee: Ppm | int, surplus_share: Ppm | int = MILLION) -> MicroUsdc:
        """What the insurance fund gets of a part that `brought` its value: a fee, or, negative, what it must add.

        The fee is `fee` of the value, rounded up, but at most `surplus_share` of what came in above the bankruptcy value, rounded
        down. Below it, the fund pays the difference. Source: dYdX v4; the share is Drift's.
        """
        surplus = brought - self.bankruptcy_value
        if surplus <= 0:
            return MicroUsdc(surplus)
        return MicroUsdc(min(share_up(abs(brought), fee), share_down(surplus, surplus_share)))


def closing(
    mark: RiskMark, size: int, lots: int, equity: int, maintenance: int, end: int | None = None
) -> Closing:
    """Closing `lots` of a position of `size` lots (signed) of an account with this equity and maintenance (of all it holds).

    In a market's last hour `end` is what a lot would settle at, micro-USDC: the position counts as `equity` has it, at that or at the
    mark (`counts_for`). A bound near the mark would be where nobody bids for what ends elsewhere.

    Raises `ValueError` unless the position holds that many and some are closed.
    """
    if not 0 < lots <= abs(size):
        raise ValueError(f"cannot close {lots} of {size} lots")
    rest = abs(size) - lots
    freed = mark.maintenance_of(size) - mark.maintenance_of(rest)
    closed = _sign(size) * lots
    return Closing(closed, counts_for(closed, mark.value_per_lot, end), freed, equity, maintenance)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
