"""What an order for a venue is asked as, and how it is judged before anybody sends it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from activities.backing import Backed
from core.backing import Backing, Bound
from core.market import Side
from core.risk_template import (
    SENTENCES,
    Code,
    Lifecycle,
    RiskTemplate,
    carried_at,
    leverage_of,
    refusal,
    refusal_since,
    words_of,
)
from core.tickets import Leg, OrderType, PriceE8, SizeE8, Ticket, TimeInForce
from ledger.venue_orders import BoundBy, OpenLimit, Standing, StoredOrder
from venues.errors import AccountMissing

VAULT_UNKNOWN: Final = "vault_unknown"
NO_POSITION: Final = "no_position"
ACCOUNT_MISSING: Final = "venue_account_missing"
CLIENT_ID_USED: Final = "client_id_used"
TOO_MANY_OPEN: Final = "too_many_open_orders"
MOST_OPEN: Final = 100
"""Orders of a vault that have not ended. Each of them is looked at all the time, and venues bound how much anybody may look."""
MOST_REDUCING: Final = 200
"""The same for what only reduces: a vault that is full still gets out with limit orders. At the market it always does."""
NOT_RUN_HERE: Final[Mapping[str, str]] = {
    VAULT_UNKNOWN: "There is no such vault.",
    NO_POSITION: "The vault has no position there that could be closed.",
    ACCOUNT_MISSING: "The vault's account at that venue is not set up.",
    CLIENT_ID_USED: "Another order has this client id.",
}
"""Refusals of what is not even an order. All but the last, which is about another one, are kept under the client id all the same:
whoever sends it again is told the same."""


@dataclass
class OrderAsked:
    """A ticket of a vault, as it travels. Sizes and prices in 1e-8; 0 and an empty string say nothing.

    `close` asks for the opposite of the vault's position, all of it where `size` is 0; then `side` is none. `client_id` is unique in
    the vault: the same one again is the same order.
    """

    vault: str
    client_id: str
    venue: str
    symbol: str
    side: int = 0
    size: int = 0
    close: bool = False
    reduce_only: bool = False
    leverage: int = 0
    order_type: str = OrderType.MARKET.value
    limit_price: int = 0
    time_in_force: str = TimeInForce.GTC.value
    placed_by: str = field(default="", compare=False)
    """Who sends it is no part of what it is: with another key of the vault it is the same order."""

    @property
    def ticket(self) -> str:
        """The order's id, from which the venue's client id is derived."""
        return f"{self.vault}/{self.client_id}"

    @classmethod
    def of(cls, vault: str, ticket: Ticket, client_id: str, placed_by: str) -> "OrderAsked":
        """What opening or reducing by a ticket asks for."""
        return cls(
            vault,
            client_id,
            ticket.venue,
            ticket.symbol,
            int(ticket.side),
            ticket.size,
            reduce_only=ticket.reduce_only,
            leverage=ticket.leverage or 0,
            order_type=ticket.order_type.value,
            limit_price=ticket.limit_price or 0,
            time_in_force=ticket.time_in_force.value,
            placed_by=placed_by,
        )

    def as_ticket(self, side: int, size: int) -> Ticket:
        """The ticket, once side and size are known. Raises `NotATicket`."""
        return Ticket(
            self.symbol,
            SizeE8(size),
            Side(side),
            self.venue,
            self.reduce_only or self.close,
            self.leverage or None,
            OrderType(self.order_type),
            PriceE8(self.limit_price) if self.limit_price else None,
            TimeInForce(self.time_in_force),
            self.client_id,
        )


def stands_for(order: StoredOrder, asked: OrderAsked) -> bool:
    """Whether a kept order is what is asked, as far as it says so: what the rules added to a ticket is not held against it.

    A leverage that was not named was theirs to choose, and what only reduces has none; of a close they chose side and size.
    """
    same = (order.vault, order.client_id, order.venue, order.symbol) == (
        asked.vault,
        asked.client_id,
        asked.venue,
        asked.symbol,
    )
    terms = (order.order_type, order.limit_price, order.time_in_force, bool(order.reduce_only)) == (
        asked.order_type,
        asked.limit_price,
        asked.time_in_force,
        asked.reduce_only or asked.close,
    )
    if asked.close:
        # Of less than was asked for it took what there was.
        return same and terms and (not asked.size or order.size <= asked.size)
    leverage = order.reduce_only or not asked.leverage or asked.leverage == order.leverage
    return same and terms and bool(leverage) and (order.side, order.size) == (asked.side, asked.size)


def asked_of(order: StoredOrder) -> OrderAsked:
    """What was asked for, as far as the ledger has it: a close is the order that came of it, and a leverage may be the rules'."""
    return OrderAsked(
        order.vault,
        order.client_id,
        order.venue,
        order.symbol,
        order.side,
        order.size,
        reduce_only=bool(order.reduce_only),
        leverage=order.leverage,
        order_type=order.order_type,
        limit_price=order.limit_price,
        time_in_force=order.time_in_force,
        placed_by=order.placed_by,
    )


def open_limit(asked: OrderAsked) -> OpenLimit | None:
    """How many orders of its vault may be open before this one; None: it does not wait, and takes risk off."""
    reducing = asked.reduce_only or asked.close
    if reducing and asked.order_type == OrderType.MARKET:
        return None
    most = MOST_REDUCING if reducing else MOST_OPEN
    return OpenLimit(most, TOO_MANY_OPEN, f"The vault has {most} orders that have not ended: take some back.")


class Judged(NamedTuple):
    """An order as it was judged, and what it is held against once more when it is kept, if anything."""

    order: StoredOrder
    most: BoundBy | None = None


class VaultTerms(NamedTuple):
    """What counts for a vault's orders now."""

    paused: bool
    template: RiskTemplate


Terms = Callable[[str], Awaitable[VaultTerms | None]]
"""A vault's terms, None when there is no such vault."""
Held = Callable[[str, Leg], Awaitable[int]]
"""A vault's position by the ledger, signed."""
Index = Callable[[str, Leg], Awaitable[PriceE8 | None]]
"""What a vault's order is valued at, None when nobody knows."""
Named = Callable[[str, str, str], Awaitable[str]]
"""The client id at a venue of a vault's ticket. Raises `AccountMissing`."""


class OrderRules:
    """Judges what is asked for, by the terms of its vault and what is known of venues and prices."""

    def __init__(
        self,
        lifecycles: Mapping[str, Lifecycle],
        terms: Terms,
        held: Held,
        index: Index,
        clock: Callable[[], int],
        backing: Mapping[str, Backed] = MappingProxyType({}),
        held_by_now: Held | None = None,
    ) -> None:
        """`backing`, by venue: what stands behind orders where the venue does not keep a leverage itself. `held_by_now` asks the venue
        where the ledger may be behind it; None: it never is."""
        self._backing = backing
        self._held_by_now = held_by_now or held
        self._lifecycles = lifecycles
        self._terms = terms
        self._held = held
        self._index = index
        self._clock = clock

    async def judged(self, asked: OrderAsked, named: Named, not_after: int) -> Judged:
        """The order to keep, accepted or refused, which is not sent from an instant on. Raises `VenueError` where only the venue knows
        whether there is anything to close, and does not say."""
        terms = await self._terms(asked.vault)
        if terms is None:
            return Judged(self._not_run(asked, VAULT_UNKNOWN, not_after))
        side, size, held = asked.side, asked.size, 0
        if asked.close or asked.reduce_only:
            held = await self._held(asked.vault, Leg(asked.venue, asked.symbol))
        if asked.close:
            # What is refused is refused for ever, so a fill that is on its way into the ledger is not overlooked.
            held = held or await self._held_by_now(asked.vault, Leg(asked.venue, asked.symbol))
            if held == 0:
                return Judged(self._not_run(asked, NO_POSITION, not_after))
            side, size = (-1 if held > 0 else 1), min(asked.size or abs(held), abs(held))
        ticket = asked.as_ticket(side, size)
        index = await self._price(asked.vault, ticket)
        try:
            index, backing = await self._backed(asked.vault, ticket, terms.template, index)
            code = refusal(ticket, terms.template, self._lifecycles, index, terms.paused, held != 0, backing)
            name = "" if code is not None else await named(asked.vault, asked.venue, asked.ticket)
        except AccountMissing:
            return Judged(self._not_run(asked, ACCOUNT_MISSING, not_after))
        order = self._stored(asked, ticket, terms.template, code, name, not_after)
        return Judged(order, _most(carried_at(ticket, terms.template.limits(asked.venue)), backing))

    async def no_more(self, order: StoredOrder) -> tuple[str, str] | None:
        """Code and sentence of why an order that was accepted must not be sent now, None where it may: for what somebody has decided
        about its vault or venue since. What it is worth is not reckoned again."""
        terms = await self._terms(order.vault)
        if terms is None:
            return VAULT_UNKNOWN, NOT_RUN_HERE[VAULT_UNKNOWN]
        held = await self._held(order.vault, Leg(order.venue, order.symbol)) if order.reduce_only else 0
        ticket = asked_of(order).as_ticket(order.side, order.size)
        code = refusal_since(ticket, terms.template, self._lifecycles, terms.paused, held != 0)
        return None if code is None else (code.value, words_of(code, ticket, terms.template))

    async def _backed(
        self, vault: str, ticket: Ticket, template: RiskTemplate, index: PriceE8 | None
    ) -> tuple[PriceE8 | None, Backing | None]:
        """The price, and what stands behind the ticket where that is asked for; neither when nobody knows what does."""
        ask = self._backing.get(ticket.venue)
        if ask is None or index is None or carried_at(ticket, template.limits(ticket.venue)) is None:
            return index, None
        found = await ask(vault, ticket)
        return (None if found is None else index), found

    async def _price(self, vault: str, ticket: Ticket) -> PriceE8 | None:
        """Only where it says something: a venue that does not answer must not keep anybody from getting out of it."""
        if ticket.reduce_only or self._lifecycles.get(ticket.venue) is not Lifecycle.ACTIVE:
            return None
        return await self._index(vault, ticket.leg)

    def _stored(
        self,
        asked: OrderAsked,
        ticket: Ticket,
        template: RiskTemplate,
        code: Code | None,
        name: str,
        not_after: int,
    ) -> StoredOrder:
        row = unsent(asked, Standing.ACCEPTED, "", "", self._clock(), not_after)
        row = row._replace(
            venue_client_id=name,
            side=int(ticket.side),
            size=int(ticket.size),
            leverage=leverage_of(ticket, template.limits(ticket.venue)) or 0,
        )
        if code is None:
            return row
        return row._replace(
            status=Standing.REFUSED.value, code=code.value, words=words_of(code, ticket, template)
        )

    def _not_run(self, asked: OrderAsked, code: str, not_after: int) -> StoredOrder:
        return unsent(asked, Standing.REFUSED, code, NOT_RUN_HERE[code], self._clock(), not_after)


def _most(times: int | None, backing: Backing | None) -> BoundBy | None:
    if times is None or backing is None:
        return None
    code = Code.LEVERAGE_TOO_HIGH
    return BoundBy(Bound(backing.equity, backing.prices, times), code.value, SENTENCES[code])


def unsent(
    asked: OrderAsked, status: Standing, code: str, words: str, now: int, not_after: int = 0
) -> StoredOrder:
    """What is kept of what was asked, as far as that says it: of a close that nobody has judged neither side nor, maybe, size is
    known."""
    return StoredOrder(
        ticket=asked.ticket,
        vault=asked.vault,
        venue=asked.venue,
        symbol=asked.symbol,
        client_id=asked.client_id,
        venue_client_id="",
        venue_order_id="",
        placed_by=asked.placed_by,
        side=asked.side,
        size=asked.size,
        order_type=asked.order_type,
        limit_price=asked.limit_price,
        time_in_force=asked.time_in_force,
        reduce_only=int(asked.reduce_only or asked.close),
        leverage=asked.leverage,
        status=status.value,
        filled=0,
        code=code,
        words=words,
        at=now,
        changed_at=now,
        not_after=not_after,
    )
