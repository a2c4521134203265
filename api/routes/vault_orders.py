"""Orders of a vault that wait, for those who decide about the vault: which there are, and taking them back without its keys."""

import asyncio
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Query

from activities.orders import OrderFacts, facts_of
from api import views_quant as views
from api.access import EdgeGiven, errors
from api.collaborators import Edge
from api.errors import CATALOGUE, ApiError
from api.schemas_quant import TakeBackBody, TakenBackAnswer, WaitingOrders
from api.streams import HistoryUnavailable
from api.vault_access import PERSON_ERRORS, Caller, VaultId, managed
from api.vault_books import answered
from ledger.venue_reads import NumberedOrder
from workflows.exec_service import OrdersUnavailable

router = APIRouter(prefix="/api/v1/vaults", tags=["vaults"])
After = Annotated[int, Query(ge=0, le=(1 << 62) - 1, description="Only those after this number.")]
Limit = Annotated[int, Query(ge=1, le=500)]
AT_ONCE: Final = 50
"""Orders of one call, all of which are asked for at one time: one whose venue is silent keeps the others from nothing."""
UNAVAILABLE: Final = "orders_unavailable"
_ERRORS: Final = (*PERSON_ERRORS, "vault_unknown", "vault_not_yours", "history_unavailable")
_log: Final = structlog.get_logger("vaults")


@router.get("/{id}/orders", responses=errors(*_ERRORS))
async def waiting(
    id: VaultId, caller: Caller, edge: EdgeGiven, after: After = 0, limit: Limit = 100
) -> WaitingOrders:
    """Orders of the vault that have not ended: those that wait at venues, and those that are yet to be sent."""
    await managed(edge, id, caller)
    found = await _waiting(edge, id, after, limit)
    return WaitingOrders(orders=[views.listed(one) for one in found], next=_next(found, limit))


@router.post("/{id}/orders/cancel", responses=errors(*_ERRORS, "venue_order_unknown", "orders_unavailable"))
async def take_back(id: VaultId, body: TakeBackBody, caller: Caller, edge: EdgeGiven) -> TakenBackAnswer:
    """Take back one order of the vault, or all that wait: what is at a venue is cancelled there, what was not sent never is.

    Pausing a vault and closing a venue stop what is yet to be sent, and nothing that waits at a venue already: this does. Who and why
    stay among the vault's changes. Again, it asks again.
    """
    await managed(edge, id, caller)
    if body.client_id is not None:
        if await _known(edge, id, body.client_id) is None:
            raise ApiError("venue_order_unknown")
        await _noted(edge, id, f"order {body.client_id} taken back", caller.name, body.why)
        return TakenBackAnswer(orders=[views.placed(await _taken_back(edge, id, body.client_id))], next=None)
    found = await _waiting(edge, id, body.after, AT_ONCE)
    if found:
        await _noted(edge, id, f"{len(found)} orders taken back", caller.name, body.why)
    asked = (_taken_back(edge, id, one.order.client_id, facts_of(one.order)) for one in found)
    return TakenBackAnswer(
        orders=[views.placed(facts) for facts in await asyncio.gather(*asked)], next=_next(found, AT_ONCE)
    )


async def _known(edge: Edge, id: str, client_id: str) -> OrderFacts | None:
    try:
        return await edge.quant.order(id, client_id)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    except OrdersUnavailable:
        raise ApiError(UNAVAILABLE) from None


async def _waiting(edge: Edge, id: str, after: int, limit: int) -> list[NumberedOrder]:
    try:
        return await edge.quant.waiting(id, after, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None


async def _noted(edge: Edge, id: str, what: str, who: str, why: str) -> None:
    """Before anything is done: what nobody could write down nobody has done."""
    await answered(edge.vaults.vaults.note(id, what, who, why, edge.clock()))
    _log.warning("a vault's orders are taken back", vault=id, what=what, who=who, why=why)


async def _taken_back(edge: Edge, id: str, client_id: str, before: OrderFacts | None = None) -> OrderFacts:
    """How the order stands then; `before` is how it stood, for where nobody says. Raises `ApiError` only without it."""
    try:
        facts = await edge.quant.cancel(id, client_id)
    except (HistoryUnavailable, OrdersUnavailable):
        if before is None:
            raise ApiError(UNAVAILABLE) from None
        before.code, before.words = UNAVAILABLE, CATALOGUE[UNAVAILABLE].sentence
        return before
    if facts is None:
        # It was there before, and orders do not vanish.
        raise ApiError("venue_order_unknown")
    return facts


def _next(found: list[NumberedOrder], limit: int) -> int | None:
    return found[-1].number if len(found) == limit else None
