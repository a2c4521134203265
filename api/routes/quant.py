"""Orders of vaults at outside venues: one ticket, whatever the venue. Keys are made by the vault's manager."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from activities.order_rules import VAULT_UNKNOWN
from activities.orders import OrderFacts
from api import views_quant as views
from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.collaborators import Edge
from api.errors import AGAIN, VENUES, ApiError
from api.quant_keys import CANCEL, ELSEWHERE, KEY_ERRORS, QUOTA_HEADERS, Counter, Counting, Reader, Trader
from api.schemas_quant import (
    CancelBody,
    ClientId,
    CloseBody,
    ListedOrders,
    OpenBody,
    QuantKeyAnswer,
    QuantKeyBody,
    VaultEventsAnswer,
    VenueFillsAnswer,
    VenueOrderAnswer,
    VenuePositionsAnswer,
)
from api.sessions import QuantKey
from api.streams import HistoryUnavailable
from api.units import SIDES
from api.vault_books import answered
from core.quantities import SECOND, Nanos
from core.risk_template import Code
from core.tickets import (
    DEFAULT_VENUE,
    SEPARATOR,
    Leg,
    NotATicket,
    OrderType,
    Ticket,
    TimeInForce,
    leg_said,
    price_from,
    size_from,
)
from ledger.vault_keys import MOST_KEYS, VaultKey
from ledger.vaults import Vault
from ledger.venue_orders import Standing
from workflows.exec_service import OrdersUnavailable

router = APIRouter(prefix="/api/v1/quant", tags=["quant"])
MICROSECOND = 1_000
MICROSECONDS = SECOND // MICROSECOND
Before = Annotated[int, Query(ge=0, le=(1 << 62) - 1, description="Only those before this number; 0: all.")]
After = Annotated[int, Query(ge=0, le=(1 << 62) - 1, description="Only those after this number.")]
Limit = Annotated[int, Query(ge=1, le=500)]
_TICKET = (*KEY_ERRORS, "vault_unknown", "ticket_invalid", "venue_account_missing", "orders_unavailable")


def _counted(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses of a call whose quota is told, also when there is none left."""
    described = errors(*codes)
    described[429] = {**described[429], "headers": QUOTA_HEADERS}
    described[200] = {"headers": QUOTA_HEADERS}
    return described


@router.post(
    "/keys", responses=errors(*SESSION_ERRORS, "vault_unknown", "vaults_unavailable", "too_many_keys")
)
async def make_key(body: QuantKeyBody, caller: Caller, edge: EdgeGiven) -> QuantKeyAnswer:
    """Make a key for a vault that the session's account manages. Revoking the account's sessions ends all its keys, and
    `POST /api/v1/vaults/{id}/keys/{key}/revoke` ends one."""
    await _managed(edge, body.vault, caller)
    scopes = tuple(dict.fromkeys(body.scopes))
    generation = edge.engine.state.accounts[caller].generation
    token, key = edge.sessions.issue_key(caller, generation, body.vault, scopes, body.name, body.days)
    made = VaultKey(key.id, key.vault, key.name, list(scopes), caller, edge.clock(), key.expires_at * SECOND)
    if not await answered(edge.vaults.keys.make(made, f"account/{caller}")):
        raise ApiError("too_many_keys", f"A vault has at most {MOST_KEYS} keys that count: revoke one.")
    return QuantKeyAnswer(
        key=token,
        id=key.id,
        vault=body.vault,
        scopes=list(dict.fromkeys(body.scopes)),
        expires_at=key.expires_at * MICROSECONDS,
    )


@router.post(
    "/orders/open",
    responses=_counted(*_TICKET, "client_id_used", "too_many_open_orders", *(code.value for code in Code)),
)
async def open_order(body: OpenBody, key: Trader, edge: EdgeGiven, counter: Counting) -> VenueOrderAnswer:
    """Send a ticket to its venue. Answers when the venue has, or after ten seconds with what is known by then."""
    leg = await _leg(edge, key, body.symbol, body.venue, counter)
    try:
        ticket = Ticket(
            leg.symbol,
            size_from(body.size),
            SIDES[body.side],
            leg.venue,
            body.reduce_only,
            body.leverage,
            OrderType(body.order_type),
            None if body.limit_price is None else price_from(body.limit_price),
            TimeInForce(body.time_in_force),
            body.client_id or _made_up(),
            _nanos(body.not_after),
        )
    except NotATicket as wrong:
        raise ApiError("ticket_invalid", f"{wrong}.") from None
    try:
        return _answered(await edge.quant.orders.open(key.vault, ticket, key.name), ticket.client_id)
    except OrdersUnavailable:
        raise ApiError("orders_unavailable", client_id=ticket.client_id) from None


@router.post(
    "/orders/close",
    responses=_counted(*_TICKET, "client_id_used", "no_position", *(code.value for code in Code)),
)
async def close_position(
    body: CloseBody, key: Trader, edge: EdgeGiven, counter: Counting
) -> VenueOrderAnswer:
    """Close a position, or a part of it, at the market and reduce-only."""
    leg = await _leg(edge, key, body.symbol, body.venue, counter)
    size = None if body.size is None else size_from(body.size)
    if size == 0:
        raise ApiError("ticket_invalid", "The size must be positive.")
    client_id = body.client_id or _made_up()
    try:
        facts = await edge.quant.orders.close(
            key.vault, leg, size, client_id, key.name, _nanos(body.not_after)
        )
    except OrdersUnavailable:
        raise ApiError("orders_unavailable", client_id=client_id) from None
    return _answered(facts, client_id)


@router.post(
    "/orders/cancel",
    responses=_counted(*KEY_ERRORS, "venue_order_unknown", "history_unavailable", "orders_unavailable"),
)
async def cancel_order(body: CancelBody, key: Trader, edge: EdgeGiven, counter: Counting) -> VenueOrderAnswer:
    """Take an order back. One that had ended is answered as it ended; where the venue refuses, `code` says why."""
    counter.count(key, CANCEL)
    try:
        facts = await edge.quant.cancel(key.vault, body.client_id)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    except OrdersUnavailable:
        raise ApiError("orders_unavailable", client_id=body.client_id) from None
    if facts is None:
        raise ApiError("venue_order_unknown")
    return views.placed(facts)


@router.get("/orders", responses=_counted(*KEY_ERRORS, "history_unavailable"))
async def orders(key: Reader, edge: EdgeGiven, before: Before = 0, limit: Limit = 100) -> ListedOrders:
    """The vault's orders, the newest first, those included that the rules refused."""
    try:
        found = await edge.quant.listed(key.vault, before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    last = found[-1].number if len(found) == limit else None
    return ListedOrders(orders=[views.listed(one) for one in found], next=last)


@router.get(
    "/orders/{client_id}",
    responses=_counted(*KEY_ERRORS, "venue_order_unknown", "history_unavailable", "orders_unavailable"),
)
async def order(client_id: Annotated[ClientId, Path()], key: Reader, edge: EdgeGiven) -> VenueOrderAnswer:
    """What became of an order, for who lost the answer: as `open` and `close` answer, but `refused` with its code also where the rules
    refused.

    While it is unknown, a call that was lost may still be on its way: to send the same again is safe, to send another is not.
    """
    try:
        facts = await edge.quant.order(key.vault, client_id)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    except OrdersUnavailable:
        raise ApiError("orders_unavailable", client_id=client_id) from None
    if facts is None:
        raise ApiError("venue_order_unknown")
    return views.placed(facts)


@router.get("/fills", responses=_counted(*KEY_ERRORS, "history_unavailable"))
async def fills(key: Reader, edge: EdgeGiven, before: Before = 0, limit: Limit = 100) -> VenueFillsAnswer:
    """The vault's fills at all venues, the newest first."""
    try:
        found = await edge.quant.fills(key.vault, before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    last = found[-1].number if len(found) == limit else None
    return VenueFillsAnswer(fills=[views.fill(one) for one in found], next=last)


@router.get("/positions", responses=_counted(*KEY_ERRORS, "history_unavailable"))
async def positions(key: Reader, edge: EdgeGiven) -> VenuePositionsAnswer:
    """The vault's positions by venue and symbol: what its recorded fills add up to."""
    try:
        held, head = await edge.quant.positions(key.vault)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return VenuePositionsAnswer(positions=views.positions(held), head=head)


@router.get("/events", responses=_counted(*KEY_ERRORS, "history_unavailable"))
async def events(key: Reader, edge: EdgeGiven, after: After = 0, limit: Limit = 100) -> VaultEventsAnswer:
    """What happened to the vault's orders, fills and positions, numbered without gaps."""
    try:
        found, head = await edge.quant.events(key.vault, after, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return VaultEventsAnswer(events=[views.event(one) for one in found], head=head)


async def _managed(edge: Edge, vault: str, account: int) -> Vault:
    """The vault, which the account manages; another's is as unknown as one that is not there."""
    found = await answered(edge.vaults.vaults.get(vault))
    if found is None or found.manager != account:
        raise ApiError("vault_unknown")
    return found


async def _leg(edge: Edge, key: QuantKey, symbol: str, venue: str | None, counter: Counter) -> Leg:
    """Where a ticket is for, counted there; without a venue, the vault's default one. What names none is counted elsewhere."""
    at_default = venue is None and SEPARATOR not in symbol
    try:
        said = leg_said(symbol, venue or DEFAULT_VENUE)
        named = said if venue is None else leg_said(said.symbol, venue)
    except NotATicket as wrong:
        counter.count(key, ELSEWHERE)
        raise ApiError("ticket_invalid", f"{wrong}.") from None
    if not at_default:
        counter.count(key, said.venue)
    if named != said:
        raise ApiError("ticket_invalid", f"The symbol is for {said.venue}, and the ticket for {venue}.")
    try:
        vault = await _managed(edge, key.vault, key.account)
    except ApiError:
        if at_default:
            counter.count(key, ELSEWHERE)
        raise
    if not at_default:
        return said
    counter.count(key, vault.default_venue)
    return said._replace(venue=vault.default_venue)


def _nanos(microseconds: int | None) -> Nanos | None:
    return None if microseconds is None else Nanos(microseconds * MICROSECOND)


def _made_up() -> str:
    """A client id for a call without one, made before anything is sent, so that every answer can tell it."""
    return uuid.uuid4().hex


def _answered(facts: OrderFacts, client_id: str) -> VenueOrderAnswer:
    """What the rules refuse is an error; what the venue says of an order is how it stands."""
    if facts.status == Standing.REFUSED and facts.code in (*VENUES, VAULT_UNKNOWN):
        raise ApiError(facts.code, f"{facts.words}{AGAIN.get(facts.code, '')}", client_id)
    return views.placed(facts)
