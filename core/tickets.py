"""The ticket: one order for any venue, and the units in which outside venues count.

Sizes and prices are integers in 1e-8 of the base unit and of a US dollar: no venue here quotes finer, so whatever a venue says as a
decimal string has exactly one integer, and the other way round.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from core.market import Side
from core.quantities import SECOND, MicroUsdc, Nanos, decimal_from_units, divide_up, units_from_decimal

SizeE8 = NewType("SizeE8", int)
"""A size in 1e-8 of the base unit: positive in an order, signed in a position (positive is long)."""
PriceE8 = NewType("PriceE8", int)
"""A price in 1e-8 of a US dollar per base unit."""

E8: Final = 100_000_000
E8_UNIT: Final = Decimal("0.00000001")
SIZE_MAX: Final = SizeE8(10**18)
"""Ten billion units: larger is a mistake at any venue, and the product with `PRICE_MAX` stays far from what a database can hold."""
PRICE_MAX: Final = PriceE8(10**17)
"""A billion dollars."""
DEFAULT_VENUE: Final = "hyper"
SEND_WITHIN_MAX: Final = Nanos(600 * SECOND)
"""Longer nobody tries to reach a venue for an order, whatever its ticket says."""
SEPARATOR: Final = "::"
_NAME_MAX: Final = 80
"""Polymarket's token ids have up to 78 digits."""
_CLIENT_ID_MAX: Final = 128
# A product of two e8 is in 1e-16 dollars, so a micro-USDC has this many.
_PER_MICRO: Final = E8 * E8 // 1_000_000


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order may wait. `POST_ONLY` rests or is refused; `FOK` fills whole or not at all."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class NotATicket(ValueError):
    """A ticket that contradicts itself, or a leg that names nothing; the text says in what."""


class Leg(NamedTuple):
    """A symbol at a venue."""

    venue: str
    symbol: str

    def __str__(self) -> str:
        # Of any, be it none that `leg` takes: what is in a ledger has to be told.
        return f"{self.venue}{SEPARATOR}{self.symbol}"


def leg(venue: str, symbol: str) -> str:
    """How positions and prices name a symbol at a venue: ``hyper::ETH``. Raises `NotATicket`."""
    for name in (venue, symbol):
        if not 0 < len(name) <= _NAME_MAX or SEPARATOR in name or name != name.strip().strip(":"):
            raise NotATicket(f"{name!r} is no name of a venue or symbol")
    return f"{venue}{SEPARATOR}{symbol}"


def leg_from(text: str, default_venue: str = DEFAULT_VENUE) -> Leg:
    """The leg in ``hyper::ETH``; a symbol alone is at `default_venue`. Raises `NotATicket`."""
    venue, separator, symbol = text.partition(SEPARATOR)
    found = Leg(venue, symbol) if separator else Leg(default_venue, text)
    leg(*found)
    return found


def leg_said(text: str, default_venue: str) -> Leg:
    """The leg that a person means: as `leg_from`, and ``mock-gold`` is ``mock_gold``, for no venue has a hyphen in its name."""
    found = leg_from(text, default_venue)
    return found._replace(venue=found.venue.replace("-", "_"))


@dataclass(frozen=True)
class Ticket:
    """What a vault wants done. Positional callers from before there were venues go on meaning the default one.

    `leverage` is whole times and set for the symbol before the order; None leaves it to the risk template. `limit_price` is the worst
    price: an order at the market may have one, a limit order must. An order at the market never rests, so with `GTC` it is as with
    `IOC`. `client_id` is the caller's: the same one again is the same order, not another. From `not_after` on it is not sent any
    more; None leaves that to `SendWithin`. It says nothing of how long an order that was sent may wait. Raises `NotATicket`.
    """

    symbol: str
    size: SizeE8
    side: Side
    venue: str = DEFAULT_VENUE
    reduce_only: bool = False
    leverage: int | None = None
    order_type: OrderType = OrderType.MARKET
    limit_price: PriceE8 | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    not_after: Nanos | None = None

    def __post_init__(self) -> None:
        leg(self.venue, self.symbol)
        if not 0 < self.size <= SIZE_MAX:
            raise NotATicket("the size must be positive and at most ten billion")
        if self.leverage is not None and self.leverage < 1:
            raise NotATicket("leverage is a whole number from 1 on")
        if self.limit_price is not None and not 0 < self.limit_price <= PRICE_MAX:
            raise NotATicket("a limit price must be positive and at most a billion dollars")
        if self.order_type is OrderType.LIMIT and self.limit_price is None:
            raise NotATicket("a limit order needs a limit price")
        if self.order_type is OrderType.MARKET and self.time_in_force is TimeInForce.POST_ONLY:
            raise NotATicket("an order at the market cannot be post-only")
        if len(self.client_id) > _CLIENT_ID_MAX:
            raise NotATicket(f"a client id has at most {_CLIENT_ID_MAX} characters")

    @property
    def leg(self) -> Leg:
        return Leg(self.venue, self.symbol)


class SendWithin(NamedTuple):
    """How long after it was asked for an order may still be sent, by its type, where its ticket does not say."""

    market: Nanos = Nanos(30 * SECOND)
    limit: Nanos = Nanos(60 * SECOND)

    def not_after(self, order_type: OrderType, asked_at: Nanos, wanted: Nanos | None) -> Nanos:
        """From when on it is not sent any more: as wanted, but never later than `SEND_WITHIN_MAX` after it was asked for."""
        own = self.market if order_type is OrderType.MARKET else self.limit
        return Nanos(min(wanted if wanted is not None else asked_at + own, asked_at + SEND_WITHIN_MAX))


SEND_WITHIN: Final = SendWithin()


def size_from(text: str) -> SizeE8:
    """Exact size of a plain decimal string. Raises `NotAQuantity` for one that is finer than 1e-8, or no finite number."""
    return SizeE8(units_from_decimal(text, E8_UNIT))


def price_from(text: str) -> PriceE8:
    """Exact price of a plain decimal string. Raises `NotAQuantity` for one that is finer than 1e-8, or no finite number."""
    return PriceE8(units_from_decimal(text, E8_UNIT))


def e8_text(value: SizeE8 | PriceE8) -> str:
    """The decimal string of a size or price, exact and without trailing zeros: ``0.5``, ``60000``."""
    text = decimal_from_units(value, E8_UNIT)
    return text.rstrip("0").rstrip(".")


def no_worse(price: PriceE8, side: Side, step: int) -> PriceE8:
    """The multiple of `step` next to a worst price that is no worse for that side: rounded down to buy, up to sell."""
    return PriceE8(price // step * step if side is Side.BUY else divide_up(price, step) * step)


def notional_up(price: PriceE8, size: SizeE8) -> MicroUsdc:
    """Value of a positive size, rounded up: what a limit on how much is measured against, and what a buyer pays."""
    return MicroUsdc(divide_up(price * size, _PER_MICRO))


def notional_down(price: PriceE8, size: SizeE8) -> MicroUsdc:
    """Value of a positive size, rounded down: what a least amount is measured against, and what a seller receives."""
    return MicroUsdc(price * size // _PER_MICRO)
