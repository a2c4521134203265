"""Gold on chain: a vault's orders go into the period's batch, which is one transaction for all vaults.

So an acknowledgement says that the order waits for its batch, and what came of it is told minutes later: it is carried out whole at
the price of the market's feed, or not at all. The account is the vault's own contract (`VaultAccount`), which must have named the
batches' key as its operator; the driver signs nothing. What is filled and held is read from the chain at a depth that stays.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

from eth_hash.auto import keccak

from chain.evm.gold_market import GoldFill, GoldMarket
from chain.evm.gold_orders import DONE, TAKEN_BACK, UNDER_WAY, WAITING, OrderOutcome, OrderPlace, VaultOrder
from chain.rpc import ChainUnavailable
from core.market import Side
from core.quantities import SECOND, MicroUsdc, Nanos
from core.risk_template import Lifecycle
from core.tickets import OrderType, SizeE8, TimeInForce
from venues.driver import (
    Acknowledged,
    Cancelled,
    Fills,
    FundingPayment,
    FundingPayments,
    Mid,
    OrderState,
    OrderStatus,
    PaymentKind,
    Position,
    Reason,
    Refused,
    VenueFill,
    VenueOrder,
)
from venues.errors import Reading, Unavailable

VENUE: Final = "mock_gold_evm"
SYMBOL: Final = "XAU"
TAKEN_WITHIN_S: Final = 15
"""An order that reaches the batches later than so long after it was sent, or at its own latest time, is refused there."""
BLOCKS_PER_PAGE: Final = 2_000
"""Many nodes answer no more at a time."""
_NO_FEE: Final = MicroUsdc(0)
Told = TypeVar("Told")


class Batches(Protocol):
    """Where orders wait for their batch: `workflows.gold_door.GoldDoor`."""

    async def place(self, order: VaultOrder) -> None:
        """Raises `Unavailable`, `Unknown`."""

    async def take_back(self, order: str) -> str:
        """Raises `Unavailable`."""
        ...

    async def place_of(self, order: str) -> OrderPlace:
        """Raises `Unavailable`."""
        ...


class MockGoldEvm:
    """`account` is the address of a vault's contract. Fills are told from block `since` on."""

    venue: Final = VENUE
    lifecycle: Final = Lifecycle.ACTIVE

    def __init__(
        self, account: str, market: GoldMarket, batches: Batches, since: int, clock: Callable[[], int]
    ) -> None:
        self._account = account
        self._market = market
        self._batches = batches
        self._since = since
        self._clock = clock

    @property
    def account(self) -> str:
        return self._account.lower()

    def client_id(self, ticket_id: str) -> str:
        return keccak(ticket_id.encode()).hex()

    async def submit(self, order: VenueOrder) -> Acknowledged | Refused:
        """The same client id again is the same order, in the batches and on chain."""
        if order.symbol != SYMBOL:
            return Refused(Reason.SYMBOL_UNKNOWN, f"there is only {SYMBOL} here")
        if order.new_leverage not in (None, 1):
            return Refused(Reason.LEVERAGE_INVALID, "longs are paid in full, shorts leave as much again")
        if order.order_type is OrderType.LIMIT and order.time_in_force in (
            TimeInForce.GTC,
            TimeInForce.POST_ONLY,
        ):
            return Refused(Reason.NOT_SUPPORTED, "an order goes into the next batch and waits no longer")
        if order.size <= 0:
            return Refused(Reason.ORDER_INVALID, "a size is positive")
        now = self._clock()
        late = order.late(now)
        if late is not None:
            return late
        until = now // SECOND + TAKEN_WITHIN_S
        placed = VaultOrder(
            order.client_id,
            self._account,
            order.side * order.size,
            order.limit_price or 0,
            cash_in=0,
            cash_out=0,
            cover=True,
            reduce_only=order.reduce_only,
            # Whole seconds, down: never later than the order says.
            until=until if order.not_after is None else min(until, order.not_after // SECOND),
        )
        await self._batches.place(placed)
        return Acknowledged(_state(placed.id, placed.size, OrderStatus.OPEN))

    async def cancel(self, client_id: str, symbol: str) -> Cancelled | Refused:
        where = await self._batches.take_back(client_id)
        if where == WAITING:
            return Cancelled(client_id)
        if where == UNDER_WAY:
            return Refused(Reason.IN_BATCH, "its batch is being carried out")
        return Refused(Reason.ORDER_UNKNOWN, f"no order {client_id} is waiting")

    async def order(self, client_id: str, symbol: str, since: int = 0) -> OrderState | None:
        known = await self._batches.place_of(client_id)
        if known.order is not None:
            return _state(client_id, known.order.size, OrderStatus.OPEN)
        async with _asking():
            filled = await self._market.filled(self._account, client_id, await self._market.depth())
        if filled is not None:
            return _state(client_id, filled.size, OrderStatus.FILLED)
        if known.where != DONE or known.outcome is None:
            return None
        if not known.outcome.reason:
            raise Unavailable(VENUE, "the node does not show a batch that was carried out")
        return _undone(known.outcome)

    async def fills(self, cursor: str) -> Fills:
        found, cursor = await self._read(self._market.fills, cursor)
        return Fills([_fill(one) for one in found], cursor)

    async def funding(self, cursor: str) -> FundingPayments:
        """What a short lost beyond its cash is not the vault's loss: it comes back to the books, where the fill that closed it took
        all of it."""
        found, cursor = await self._read(self._market.losses_borne, cursor)
        payments = [
            FundingPayment(one.id, SYMBOL, one.amount, Nanos(one.at * SECOND), PaymentKind.DEBT)
            for one in found
        ]
        return FundingPayments(payments, cursor)

    async def _read(
        self, ask: Callable[[str, int, int], Awaitable[list[Told]]], cursor: str
    ) -> tuple[list[Told], str]:
        """The next of the account's events, and the cursor behind them, a block. It stays where it is while nothing happens, until a
        whole page of blocks lies behind it."""
        with Reading(VENUE):
            first = int(cursor or self._since)
        async with _asking():
            last = min(await self._market.depth(), first + BLOCKS_PER_PAGE - 1)
            found = await ask(self._account, first, last) if last >= first else []
        if not found and last - first + 1 < BLOCKS_PER_PAGE:
            return [], cursor
        return found, str(last + 1)

    async def positions(self) -> dict[str, Position]:
        """The market keeps no entry price: what a position cost is mixed there with what was paid in."""
        async with _asking():
            held = await self._market.held(self._account, await self._market.depth())
        return {SYMBOL: Position(held.size, None)} if held.size else {}

    async def mids(self, symbols: Collection[str]) -> dict[str, Mid]:
        """The price at which the market would trade in the newest block, dated by it."""
        if SYMBOL not in symbols:
            return {}
        async with _asking():
            quote = await self._market.quote()
        return {SYMBOL: Mid(quote.price, Nanos(quote.at * SECOND))} if quote.usable else {}

    async def close(self) -> None:
        """Nothing is open: the connection is everybody's."""


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        yield
    except ChainUnavailable as error:
        raise Unavailable(VENUE, str(error)) from error


def _state(
    client_id: str, size: int, status: OrderStatus, reason: Reason | None = None, words: str = ""
) -> OrderState:
    filled = SizeE8(abs(size) if status is OrderStatus.FILLED else 0)
    terms = Side(1 if size > 0 else -1), status, SizeE8(abs(size)), filled
    return OrderState(client_id, client_id, SYMBOL, *terms, reason, words)


def _undone(outcome: OrderOutcome) -> OrderState:
    if outcome.code == TAKEN_BACK:
        return _state(outcome.id, outcome.size, OrderStatus.CANCELLED)
    reason = Reason(outcome.code) if outcome.code else Reason.OTHER
    return _state(outcome.id, outcome.size, OrderStatus.REJECTED, reason, outcome.reason)


def _fill(one: GoldFill) -> VenueFill:
    side, size = (Side.BUY, one.size) if one.size > 0 else (Side.SELL, SizeE8(-one.size))
    terms = one.order or None, one.order, SYMBOL, side, size, one.price, _NO_FEE
    return VenueFill(one.id, *terms, Nanos(one.at * SECOND))
