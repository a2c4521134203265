"""The WebSocket's `request` for callers that want one call and one answer."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path

from api import views, wire
from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.collaborators import Edge
from api.errors import RULES, ApiError, refused
from api.schemas import CancelledAnswer, ClosedAnswer, OpenRequestsAnswer, RequestBody
from core.events import RequestClosed
from matcher import commands as c
from matcher.rejections import Rejection

router = APIRouter(prefix="/api/v1/requests", tags=["requests"])
PATIENCE: Final = 5.0
"""Seconds beyond a request's lifetime in which its answer must have reached the disk."""
Number = Annotated[int, Path(ge=1, le=(1 << 62) - 1)]


@router.post("", responses=errors(*SESSION_ERRORS, "answer_pending", *(code.value for code in RULES)))
async def request(body: RequestBody, caller: Caller, edge: EdgeGiven) -> ClosedAnswer:
    """Ask the makers and fill at the best firm price; answers when the request is closed and on disk."""
    op = wire.Request(
        body.id,
        body.market,
        body.side,
        body.size,
        body.limit,
        body.ttl_ms,
        all_or_none=body.all_or_none,
        reduce_only=body.reduce_only,
        show_side=body.show_side,
        expires_after=body.expires_after,
    )
    known = body.id in edge.engine.state.accounts[caller].keys
    try:
        async with asyncio.timeout(body.ttl_ms / 1_000 + PATIENCE):
            outcome = await edge.hub.request(edge.inbound.request(caller, op))
    except TimeoutError:
        raise ApiError("answer_pending") from None
    if isinstance(outcome, Rejection):
        raise refused(outcome)
    if not isinstance(outcome, RequestClosed):
        raise ApiError("internal_error")
    return views.closed(outcome, edge.hub.markets, edge.hub.outbound.fees(outcome.fills), known)


@router.get("", responses=errors(*SESSION_ERRORS))
async def open_requests(caller: Caller, edge: EdgeGiven) -> OpenRequestsAnswer:
    """Requests that are still open."""
    book = edge.engine.state.book
    numbers = sorted(book.open_keys.get(caller, {}).values())
    return OpenRequestsAnswer(
        requests=[views.open_request(book.requests[number].opened, edge.hub.markets) for number in numbers]
    )


@router.delete("", responses=errors(*SESSION_ERRORS))
async def cancel_all(caller: Caller, edge: EdgeGiven) -> CancelledAnswer:
    """Pull every request, answer and standing quote of the account."""
    return await _cancelled(edge, c.CancelAll(caller))


@router.delete("/{number}", responses=errors(*SESSION_ERRORS, "request_unknown"))
async def cancel(number: Number, caller: Caller, edge: EdgeGiven) -> CancelledAnswer:
    """End one open request; nothing is cancelled when it had closed already."""
    return await _cancelled(edge, c.CancelRequest(caller, number))


async def _cancelled(edge: Edge, command: c.Command) -> CancelledAnswer:
    outcome = await edge.engine.ask(command)
    if isinstance(outcome, Rejection):
        raise refused(outcome)
    events = outcome if isinstance(outcome, list) else []
    return CancelledAnswer(cancelled=[event.request for event in events if isinstance(event, RequestClosed)])
