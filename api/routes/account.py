"""What an agent owns and what happened to it."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query

from api import views, views_margin
from api.access import SESSION_ERRORS, Caller, EdgeGiven, errors
from api.errors import ApiError
from api.schemas import AccountAnswer, EventsAnswer, FillsAnswer
from api.streams import HistoryUnavailable

router = APIRouter(prefix="/api/v1/account", tags=["account"])
Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[int, Query(ge=1, le=(1 << 62) - 1, description="Only numbers below this one.")]
After = Annotated[int, Query(ge=0, le=(1 << 62) - 1, description="Only numbers above this one.")]


@router.get("", responses=errors(*SESSION_ERRORS))
async def account(caller: Caller, edge: EdgeGiven) -> AccountAnswer:
    """Balance, margin, positions with their liquidation and bankruptcy prices, valued at the current marks; what may leave."""
    state = edge.engine.state
    answer = views_margin.account(state, edge.hub.markets, state.accounts[caller], edge.clock())
    await edge.hub.on_disk()
    return answer


@router.get("/fills", responses=errors(*SESSION_ERRORS, "history_unavailable"))
async def fills(
    caller: Caller, edge: EdgeGiven, before: Before = (1 << 62) - 1, limit: Limit = 100
) -> FillsAnswer:
    """The account's fills with their settlement status, newest first, from the read side: it lags by moments."""
    try:
        rows = await edge.reads.fills(caller, before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    told = [views.at_least(row, edge.hub.marks) for row in rows]
    return FillsAnswer(fills=[views.fill(row, edge.hub.markets, caller) for row in told])


@router.get("/events", responses=errors(*SESSION_ERRORS, "history_unavailable"))
async def events(caller: Caller, edge: EdgeGiven, after: After, limit: Limit = 100) -> EventsAnswer:
    """The numbered private stream, as the WebSocket sends it."""
    try:
        items = await edge.streams.after(caller, after, limit, edge.reads)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    messages = [
        msgspec.to_builtins(edge.hub.outbound.private(caller, item.number, item.seq, item.event))
        for item in items
    ]
    return EventsAnswer(events=messages, head=edge.streams.head(caller))
