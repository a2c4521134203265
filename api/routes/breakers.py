"""The audit trail of operators, what shuts the gate of withdrawals, and how markets ended."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import views_breakers
from api.access import EdgeGiven, OperatorOnly, errors
from api.errors import ApiError
from api.routes.public import Symbol
from api.schemas_breakers import AuditAnswer, GateAnswer, MarketEndAnswer
from api.streams import HistoryUnavailable

router = APIRouter(prefix="/api/v1")


@router.get(
    "/operator/audit",
    tags=["operator"],
    dependencies=[OperatorOnly],
    responses=errors("not_authenticated", "operator_only", "history_unavailable"),
)
async def audit(
    edge: EdgeGiven,
    before: Annotated[int, Query(ge=1, le=(1 << 62) - 1)] = (1 << 62) - 1,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditAnswer:
    """Who decided what, when and why, newest first, from the read side: it lags by moments."""
    try:
        rows = await edge.reads.operator_actions(before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return views_breakers.audit(rows, edge.hub.markets)


@router.get(
    "/operator/withdrawals/gate",
    tags=["operator"],
    dependencies=[OperatorOnly],
    responses=errors("not_authenticated", "operator_only"),
)
async def gate(edge: EdgeGiven) -> GateAnswer:
    """Whether withdrawals are reserved, and every account below zero, whether or not it holds a position."""
    answer = await views_breakers.gate(edge.engine.state, edge.clock())
    await edge.hub.on_disk()
    return answer


@router.get(
    "/markets/{symbol}/end",
    tags=["public"],
    responses=errors("market_unknown", "market_not_settled", "history_unavailable"),
)
async def end(symbol: Symbol, edge: EdgeGiven) -> MarketEndAnswer:
    """How a delisted market's positions were closed and its debts paid."""
    units = edge.hub.markets.named(symbol)
    try:
        row = await edge.reads.market_end(units.id)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if row is None:
        raise ApiError("market_not_settled")
    return views_breakers.end(row, units)
