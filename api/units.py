"""Decimal strings of each market to ticks and lots and back."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

from api.errors import ApiError
from core.market import Market, MarketStatus, Side
from core.quantities import MILLION, USDC_UNIT, NotAQuantity, decimal_from_units, units_from_decimal

SideName = Literal["buy", "sell"]
MarketStatusName = Literal["open", "reduce_only", "paused", "settled"]
SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
SIDE_NAMES: Final[dict[int, SideName]] = {1: "buy", -1: "sell"}
MARKET_STATUSES: Final[dict[int, MarketStatusName]] = {
    MarketStatus.OPEN: "open",
    MarketStatus.REDUCE_ONLY: "reduce_only",
    MarketStatus.PAUSED: "paused",
    MarketStatus.SETTLED: "settled",
}
REMEMBERED: Final = 8_192
"""Conversions kept per market, unit and direction."""
WHOLE_DIGITS_MAX: Final = 15
TO_BILLIONTHS: Final[tuple[int, ...]] = tuple(10 ** (9 - digits) for digits in range(10))
"""By the number of digits behind the point."""


def usdc(amount: int) -> str:
    """Micro-USDC as an exact decimal string."""
    whole, micros = divmod(abs(amount), MILLION)
    return f"{'-' if amount < 0 else ''}{whole}.{micros:06d}"


def micro_usdc(text: str) -> int:
    """Exact micro-USDC of a decimal string. Raises `ApiError` bad_value."""
    try:
        return units_from_decimal(text, USDC_UNIT)
    except NotAQuantity as error:
        raise ApiError("bad_value", f"amount: {error}") from None


def billionths(text: str, what: str) -> int:
    """Exact billionths of a plain decimal as `api.wire.DECIMAL_PATTERN` has it. Raises `ApiError` bad_value."""
    whole, point, part = text.partition(".")
    digits = whole + part
    if (
        not (text.isascii() and digits.isdigit())
        or not 0 < len(whole) <= WHOLE_DIGITS_MAX
        or len(part) >= len(TO_BILLIONTHS)
        or (point and not part)
    ):
        raise ApiError("bad_value", f"{what}: not a plain decimal of at most 15 digits, a point and 9 more.")
    return int(digits) * TO_BILLIONTHS[len(part)]


class Unit:
    """A tick or a lot. What was converted is remembered: prices and sizes come again and again."""

    __slots__ = ("_by", "_times", "_unit", "_what", "count", "text")

    def __init__(self, unit: str, what: str) -> None:
        self._unit = Decimal(unit)
        self._what = what
        share = Fraction(self._unit) * TO_BILLIONTHS[0]
        self._times, self._by = share.denominator, share.numerator
        self.count: Callable[[str], int] = lru_cache(REMEMBERED)(self._count)
        """Whole number of units in a decimal string. Raises `ApiError` bad_value when there is none."""
        self.text: Callable[[int], str] = lru_cache(REMEMBERED)(self._text)
        """The exact decimal string of so many units."""

    def _count(self, text: str) -> int:
        units, rest = divmod(billionths(text, self._what) * self._times, self._by)
        if rest:
            raise ApiError("bad_value", f"{self._what}: not a multiple of {self._unit}.")
        return units

    def _text(self, units: int) -> str:
        return decimal_from_units(units, self._unit)


class MarketUnits:
    """A market with the conversions of its prices to and from ticks, of its sizes to and from lots."""

    __slots__ = ("_average_by", "_average_times", "id", "lots", "market", "price", "size", "symbol", "ticks")

    def __init__(self, market: Market) -> None:
        self.market = market
        self.id = int(market.id)
        self.symbol = market.symbol
        price = Fraction(market.tick) * TO_BILLIONTHS[0] / market.value_per_tick_lot
        self._average_times, self._average_by = price.numerator, price.denominator
        tick, lot = Unit(market.tick, "price"), Unit(market.lot, "size")
        self.ticks, self.price = tick.count, tick.text
        self.lots, self.size = lot.count, lot.text

    def average(self, value: int, lots: int) -> str | None:
        """Average price of fills worth `value` micro-USDC, rounded half to even at nine decimals; None for no lots.

        For display: the exact amounts are `value` and the size.
        """
        if lots == 0:
            return None
        divisor = lots * self._average_by
        billionths, rest = divmod(value * self._average_times, divisor)
        if 2 * rest > divisor or (2 * rest == divisor and billionths % 2):
            billionths += 1
        whole, part = divmod(billionths, TO_BILLIONTHS[0])
        return f"{whole}.{part:09d}"


class Markets:
    """Units of the listed markets by symbol and by id; `engine_markets` is the exchange's own table, which may grow."""

    def __init__(self, engine_markets: dict[int, Market]) -> None:
        self._listed = engine_markets
        self._by_id: dict[int, MarketUnits] = {}
        self._by_symbol: dict[str, MarketUnits] = {}

    def __getitem__(self, id: int) -> MarketUnits:
        units = self._by_id.get(id)
        market = self._listed[id]
        if units is None or units.market is not market:
            units = self._by_id[id] = self._by_symbol[market.symbol] = MarketUnits(market)
        return units

    def named(self, symbol: str) -> MarketUnits:
        """Raises `ApiError` market_unknown."""
        units = self._by_symbol.get(symbol)
        if units is not None and self._listed[units.id] is units.market:
            return units
        for id, market in self._listed.items():
            if market.symbol == symbol:
                return self[id]
        raise ApiError("market_unknown")
