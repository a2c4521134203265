"""What every venue's driver can do, and the values it answers with.

A driver is one account at one venue. It keeps no state that matters: another one of the same account, in another process, gives the
same answers. All amounts are integers (`core.tickets`); all instants are nanoseconds since the Unix epoch.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from core.market import Side
from core.printable import printable
from core.quantities import MicroUsdc, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, PriceE8, SizeE8, TimeInForce
from venues.errors import Unavailable


class Reason(StrEnum):
    """Why a venue refuses; stable, whatever its words are."""

    VENUE_DEAD = "venue_dead"
    VENUE_CLOSE_ONLY = "venue_close_only"
    NOT_SUPPORTED = "not_supported"
    """The venue has no such kind of order."""
    SYMBOL_UNKNOWN = "symbol_unknown"
    ORDER_INVALID = "order_invalid"
    """Size or price are not multiples of the venue's, or out of its range."""
    TOO_SMALL = "too_small"
    PRICE_TOO_FAR = "price_too_far"
    LEVERAGE_INVALID = "leverage_invalid"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    WOULD_NOT_REDUCE = "would_not_reduce"
    """Reduce-only, and there is no position that it would reduce."""
    WOULD_MATCH = "would_match"
    """Post-only, and it would have filled at once."""
    NO_LIQUIDITY = "no_liquidity"
    """Nobody was there to fill an order that does not wait."""
    CLIENT_ID_USED = "client_id_used"
    TOO_LATE = "too_late"
    """It was not sent, or the venue did not take it, because its latest time had come."""
    ORDER_UNKNOWN = "order_unknown"
    """Nothing to cancel: never there, filled, or cancelled before. `order` says which."""
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    """The venue takes no orders right now."""
    NO_PRICE = "no_price"
    IN_BATCH = "in_batch"
    """It is being carried out: nobody can take it back any more."""
    EXPIRED = "expired"
    """Taken, and not carried out while that was allowed: nothing of it happened, and nothing will."""
    OTHER = "other"


RETRYABLE = frozenset({Reason.RATE_LIMITED, Reason.BUSY, Reason.NO_PRICE, Reason.NO_LIQUIDITY})
"""After these the same order may succeed later."""


class OrderStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    """No longer there, by whoever's doing; part of it may have filled."""
    REJECTED = "rejected"
    """Taken and then refused by the venue: nothing filled."""


@dataclass(frozen=True)
class VenueOrder:
    """An order as a venue gets it. `client_id` is from the driver's own `client_id()`.

    `limit_price` is the worst price. A limit order's must be one that the venue takes; an order at the market is sent with the next
    one that is no worse, and without any takes what the driver says is the worst that it would accept.
    `leverage` is set for the symbol first where the venue has such a thing, but not by what only reduces; None leaves what is set.
    From `not_after` on it is not sent, however long the process stood still in between, and a venue that can refuse what arrives
    later is told so.
    """

    client_id: str
    symbol: str
    side: Side
    size: SizeE8
    order_type: OrderType = OrderType.MARKET
    limit_price: PriceE8 | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    leverage: int | None = None
    not_after: Nanos | None = None

    @property
    def new_leverage(self) -> int | None:
        """The leverage to set before it is sent: none for what only reduces, which must not change the terms of what is left."""
        return None if self.reduce_only else self.leverage

    def late(self, now: int) -> "Refused | None":
        """The refusal of an order whose latest time has come."""
        if self.not_after is None or now < self.not_after:
            return None
        return Refused(Reason.TOO_LATE, "its latest time had come before it was sent")


@dataclass(frozen=True)
class OrderState:
    """How an order stands. `filled` is the part of `size` that did.

    `reason` and `words` say why one was rejected, where the venue tells.
    """

    client_id: str
    venue_id: str
    symbol: str
    side: Side
    status: OrderStatus
    size: SizeE8
    filled: SizeE8
    reason: Reason | None = None
    words: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", printable(self.words))


@dataclass(frozen=True)
class Acknowledged:
    """The venue has the order. `average_price` of what filled at once is for people; money is counted from `fills`."""

    order: OrderState
    average_price: PriceE8 | None = None


@dataclass(frozen=True)
class Cancelled:
    """The order waits no more. What had filled before says `order`."""

    client_id: str


@dataclass(frozen=True)
class Refused:
    """The venue said no and nothing changed. `words` are its own."""

    reason: Reason
    words: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", printable(self.words))

    @property
    def retryable(self) -> bool:
        return self.reason in RETRYABLE


@dataclass(frozen=True)
class VenueFill:
    """A fill of this account. `id` is the venue's and never repeats; `client_id` is None for an order that had none.

    Whatever else changes a position is one, too: what the venue closed or took over itself is at the price that it counted for.

    `fee` was paid, a negative one received; parts of a micro-USDC are rounded up. `at` is by the venue's clock; where that tells whole
    seconds only, the last instant of one, so that nothing counts before an instant that came after it.
    """

    id: str
    client_id: str | None
    venue_order_id: str
    symbol: str
    side: Side
    size: SizeE8
    price: PriceE8
    fee: MicroUsdc
    at: Nanos


class Fills(NamedTuple):
    """Fills in the order in which they happened. `cursor` goes into the next call.

    `more` is False where the venue had nothing behind the cursor when it answered: who reads on all the same finds that out, too, but
    pays for it.
    """

    fills: list[VenueFill]
    cursor: str
    more: bool = True


@dataclass(frozen=True)
class Position:
    """`size` is signed; a symbol without a position is in no answer. `entry_price` is the venue's average, for people."""

    size: SizeE8
    entry_price: PriceE8 | None


@dataclass(frozen=True)
class Mid:
    """The middle between best bid and ask; `at` is when the venue says that this was so, and where it does not, when it was asked.

    `final`: the symbol's market has ended, and this is what each counts for from then on, be it nothing.
    """

    price: PriceE8
    at: Nanos
    final: bool = False


class PaymentKind(StrEnum):
    """What moved an account's cash there without a fill."""

    FUNDING = "funding"
    LIQUIDATION_FEE = "liquidation_fee"
    DELISTING_SHARE = "delisting_share"
    """Given to, or by, those whose positions ended with their market."""
    DEBT = "debt"
    """A debt that others paid, or a part of another's."""


@dataclass(frozen=True)
class FundingPayment:
    """`amount` came in, a negative one was paid; parts of a micro-USDC are rounded down. `id` never repeats among those of its kind.

    `symbol` is empty where it is about the whole account.
    """

    id: str
    symbol: str
    amount: MicroUsdc
    at: Nanos
    kind: PaymentKind = PaymentKind.FUNDING


class FundingPayments(NamedTuple):
    """As `Fills`."""

    payments: list[FundingPayment]
    cursor: str
    more: bool = True


class Driver(Protocol):
    """One account at one venue.

    What only reads raises `Unavailable` when it gets no answer. So do `submit` and `cancel` where it is certain that the venue got
    nothing; a lost reply raises `Unknown`, and whoever calls asks `order` before submitting anything again.
    """

    @property
    def venue(self) -> str: ...

    @property
    def lifecycle(self) -> Lifecycle: ...

    @property
    def account(self) -> str:
        """What the venue calls the account: whatever else has the same one, trades the same positions and the same money."""
        ...

    def client_id(self, ticket_id: str) -> str:
        """The id under which the venue knows a ticket's order: the same for the same ticket, in any process, and for no other."""
        ...

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        """Send an order, once. It is sent under its client id, but do not rely on a venue to refuse the same id again."""
        ...

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused: ...

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        """How an order stands. None only when the venue answered that it has never had it.

        It was not sent before `since` (nanoseconds by the asker's clock): who has to look through history looks no further back.
        """
        ...

    async def fills(self, cursor: str) -> Fills:
        """Fills after `cursor`, oldest first, each in exactly one answer of a chain of cursors. It starts with an empty one."""
        ...

    async def positions(self) -> dict[str, Position]: ...

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        """Those of `symbols` that the venue has a two-sided book for, and those whose market has ended.

        Of one that could not be asked for nothing is said; raises `Unavailable` when that is so of all.
        """
        ...

    async def close(self) -> None:
        """End connections; calling it again does nothing."""
        ...


class ListingDriver(Driver, Protocol):
    """A driver of a venue that tells of many orders at once."""

    async def standing(self, orders: Sequence[tuple[str, str]]) -> dict[str, OrderState | Unavailable | None]:
        """As `order` of each client id and symbol, by client id, for less than that many questions cost; there may be more in it.

        An order of which nothing can be read has the reason in it, and says nothing of the others.
        """
        ...


class FundedDriver(Driver, Protocol):
    """A driver of a venue where cash moves without fills, as where positions pay funding."""

    async def funding(self, cursor: str) -> FundingPayments:
        """Payments after `cursor`, as with `fills`."""
        ...


class MarginDriver(Driver, Protocol):
    """A driver of a venue that does not set leverage, and says what stands behind an account's positions."""

    async def equity(self) -> MicroUsdc: ...


class ForgettingDriver(FundedDriver, Protocol):
    """A driver of a venue that tells payments of some days only."""

    def forgotten(self, cursor: str) -> str:
        """A sentence on what behind `cursor` was paid, if anything, so long ago that the venue tells it no more; empty: nothing."""
        ...


class SettlingDriver(Driver, Protocol):
    """A driver of a venue that tells a fill once nothing takes it back, and has it in positions before."""

    async def unsettled(self, cursor: str) -> Nanos | None:
        """When the oldest of what was filled after `cursor`, and `fills` does not tell yet, was filled; None: there is none.

        While there is, `fills` may tell nothing that came after it either.
        """
        ...


class StreamingDriver(Driver, Protocol):
    """A driver of a venue that says by itself when something happens to an account."""

    def stirs(self) -> AsyncGenerator[None]:
        """Yields when something may have happened to the account, and once the connection is there. Ends with the connection.

        What it was, `fills` and `order` say: a stream loses messages and tells them twice. Raises `Unavailable`.
        """
        ...
