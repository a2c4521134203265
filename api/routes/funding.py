"""Funding: what markets charged, what the running hour will charge, and what an account paid."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import views_funding
from api.access import SESSION_ERRORS, Caller, EdgeGiven, OperatorOnly, errors
from api.errors import ApiError
from api.routes.operator import OPERATOR_ERRORS
from api.schemas_funding import (
    FundingDueAnswer,
    FundingHistoryAnswer,
    FundingPaymentsAnswer,
    FundingPredictionAnswer,
)
from api.streams import HistoryUnavailable
from core.quantities import divide_up

router = APIRouter(prefix="/api/v1", tags=["funding"])
Symbol = Annotated[str, Path(min_length=1, max_length=32)]
Limit = Annotated[int, Query(ge=1, le=500)]
NEWEST = (1 << 62) - 1


@router.get("/markets/{symbol}/funding", responses=errors("market_unknown", "history_unavailable"))
async def history(
    symbol: Symbol,
    edge: EdgeGiven,
    before: Annotated[int, Query(ge=1, le=NEWEST, description="Only hours that ended before it.")] = NEWEST,
    limit: Limit = 100,
) -> FundingHistoryAnswer:
    """Paid hours with their rates, newest first, from the read side: it lags by moments."""
    units = edge.hub.markets.named(symbol)
    try:
        rows = await edge.reads.funding_rates(units.id, divide_up(before, views_funding.HOUR_MICROS), limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return FundingHistoryAnswer(market=units.symbol, hours=[views_funding.hour(row, units) for row in rows])


@router.get("/markets/{symbol}/funding/predicted", responses=errors("market_unknown"))
async def predicted(symbol: Symbol, edge: EdgeGiven) -> FundingPredictionAnswer:
    """The running hour's rate if it goes on as it has, with its inputs."""
    answer = views_funding.prediction(edge.engine.state, edge.hub.markets.named(symbol), edge.clock())
    await edge.hub.on_disk()
    return answer


@router.get("/account/funding", responses=errors(*SESSION_ERRORS, "history_unavailable"))
async def payments(
    caller: Caller,
    edge: EdgeGiven,
    before: Annotated[int, Query(ge=1, le=NEWEST, description="Only `seq` below this one.")] = NEWEST,
    limit: Limit = 100,
) -> FundingPaymentsAnswer:
    """What the account paid and received, newest first, from the read side: it lags by moments."""
    try:
        rows = await edge.reads.funding_payments(caller, before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return FundingPaymentsAnswer(payments=[views_funding.payment(row, edge.hub.markets) for row in rows])


@router.get("/operator/funding", responses=errors(*OPERATOR_ERRORS), dependencies=[OperatorOnly])
async def due(edge: EdgeGiven) -> list[FundingDueAnswer]:
    """Hours that wait to be paid, of every market that is not delisted or still owes one."""
    answer = views_funding.due(edge.engine.state, edge.clock())
    await edge.hub.on_disk()
    return answer
