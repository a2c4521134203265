"""What stands behind a vault's positions at a venue that keeps no leverage itself, and how much more there may be of them."""

from collections.abc import Mapping
from typing import NamedTuple

from core.market import Side
from core.quantities import MicroUsdc
from core.tickets import PriceE8, SizeE8, notional_up


class Exposure(NamedTuple):
    """A signed position in a symbol, and what waits to be bought or sold of it, both positive."""

    held: int
    buys: int = 0
    sells: int = 0

    @property
    def most(self) -> SizeE8:
        """The largest size that may come of it: all that waits on one side fills, and nothing on the other."""
        return SizeE8(max(abs(self.held + self.buys), abs(self.held - self.sells)))

    def with_order(self, side: Side, size: int) -> "Exposure":
        if side is Side.BUY:
            return self._replace(buys=self.buys + size)
        return self._replace(sells=self.sells + size)


class Backing(NamedTuple):
    """Equity, and what all positions at the venue may come to before and after an order at the prices of their symbols; micro-USDC."""

    equity: MicroUsdc
    prices: Mapping[str, PriceE8]
    before: MicroUsdc
    after: MicroUsdc

    def carries(self, times: int) -> bool:
        """Whether positions stay within so many times the equity, or do not grow by the order: those may be beyond it already."""
        return self.after <= self.before or self.after <= self.equity * times


class Bound(NamedTuple):
    """How many times the equity positions at a venue may come to, at prices by symbol: to be held against what there is when an order
    is kept, for others may have been kept since it was judged."""

    equity: MicroUsdc
    prices: Mapping[str, PriceE8]
    times: int

    def carries(self, exposures: Mapping[str, Exposure], symbol: str, side: Side, size: int) -> bool | None:
        """Whether an order may be added; None where one of the symbols has no price here."""
        if not {symbol, *exposures} <= self.prices.keys():
            return None
        return backing(self.equity, self.prices, exposures, symbol, side, size).carries(self.times)


def backing(
    equity: MicroUsdc,
    prices: Mapping[str, PriceE8],
    exposures: Mapping[str, Exposure],
    symbol: str,
    side: Side,
    size: int,
) -> Backing:
    """What stands behind an order, of which each symbol has a price; values rounded up, as `gross_up` says."""
    before = {symbol: Exposure(0), **exposures}
    after = {**before, symbol: before[symbol].with_order(side, size)}
    return Backing(equity, prices, gross_up(before, prices), gross_up(after, prices))


def gross_up(exposures: Mapping[str, Exposure], prices: Mapping[str, PriceE8]) -> MicroUsdc:
    """What all may come to at their prices, longs and shorts added, each rounded up."""
    return MicroUsdc(sum(notional_up(prices[symbol], one.most) for symbol, one in exposures.items()))
