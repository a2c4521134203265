"""The ledger's numbers of venue orders, as the quant interface shows them."""

from typing import Any, Final, cast

from activities.orders import OrderFacts
from api.schemas_quant import (
    ListedOrder,
    Status,
    VaultEventAnswer,
    VenueFillAnswer,
    VenueOrderAnswer,
)
from api.units import SIDE_NAMES, usdc
from core.tickets import SizeE8, e8_text
from ledger.venue_reads import FillRow, NumberedOrder, VaultEvent

MICROSECOND: Final = 1_000
_E8: Final = frozenset({"size", "filled", "price", "limit_price", "ours", "theirs"})
_INSTANTS: Final = frozenset({"at", "changed_at", "not_after"})
_INNER: Final = frozenset({"ticket", "vault", "venue_client_id"})
"""What says to a quant nothing that the client id does not."""


def placed(facts: OrderFacts) -> VenueOrderAnswer:
    return VenueOrderAnswer(
        client_id=_client_id(facts.ticket),
        venue=facts.venue,
        symbol=facts.symbol,
        side=SIDE_NAMES.get(facts.side),
        size=_e8(facts.size),
        filled=_e8(facts.filled),
        status=cast(Status, facts.status),
        venue_order_id=facts.venue_order_id or None,
        code=facts.code or None,
        message=facts.words or None,
    )


def listed(numbered: NumberedOrder) -> ListedOrder:
    number, order = numbered
    return ListedOrder(
        number=number,
        client_id=order.client_id,
        venue=order.venue,
        symbol=order.symbol,
        side=SIDE_NAMES.get(order.side),
        size=_e8(order.size),
        filled=_e8(order.filled),
        status=cast(Status, order.status),
        venue_order_id=order.venue_order_id or None,
        code=order.code or None,
        message=order.words or None,
        placed_by=order.placed_by,
        order_type=cast(Any, order.order_type),
        limit_price=_e8(order.limit_price) if order.limit_price else None,
        time_in_force=cast(Any, order.time_in_force),
        reduce_only=bool(order.reduce_only),
        leverage=order.leverage or None,
        at=order.at // MICROSECOND,
        changed_at=order.changed_at // MICROSECOND,
        not_after=order.not_after // MICROSECOND or None,
    )


def fill(row: FillRow) -> VenueFillAnswer:
    return VenueFillAnswer(
        number=row.number,
        venue=row.venue,
        symbol=row.symbol,
        side=SIDE_NAMES[row.side],
        size=_e8(row.size),
        price=_e8(row.price),
        fee=usdc(row.fee),
        fill=row.fill,
        venue_order_id=row.venue_order_id,
        client_id=_client_id(row.ticket) or None,
        at=row.at // MICROSECOND,
    )


def positions(held: dict[str, dict[str, int]]) -> dict[str, dict[str, str]]:
    return {venue: {symbol: _e8(size) for symbol, size in symbols.items()} for venue, symbols in held.items()}


def event(one: VaultEvent) -> VaultEventAnswer:
    payload = one.payload
    if one.kind == "position":
        data: dict[str, Any] = positions(payload["positions"])
    else:
        data = {name: _shown(name, value) for name, value in payload.items() if name not in _INNER}
        if payload.get("ticket"):
            data["client_id"] = _client_id(payload["ticket"])
    return VaultEventAnswer(number=one.number, kind=cast(Any, one.kind), data=data, at=one.at // MICROSECOND)


def _shown(name: str, value: Any) -> Any:
    if name in _E8:
        return _e8(value)
    if name in _INSTANTS:
        return value // MICROSECOND
    if name == "side":
        return SIDE_NAMES.get(value)
    if name == "reduce_only":
        return bool(value)
    return usdc(value) if name == "fee" else value


def _e8(value: int) -> str:
    return e8_text(SizeE8(value))


def _client_id(ticket: str) -> str:
    return ticket.partition("/")[2]
