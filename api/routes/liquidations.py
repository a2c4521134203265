"""Liquidations, deleveragings and the insurance fund: public, from the read side, but for the fund as it stands now."""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Query

from activities.engine_door import PLACES_MAX
from api import views_liquidation as views
from api.access import EdgeGiven, OperatorOnly, errors
from api.errors import ApiError
from api.routes.operator import OPERATOR_ERRORS
from api.schemas_liquidation import (
    DeleveragingsAnswer,
    GoingOnAnswer,
    InsuranceAnswer,
    InsuranceHistoryAnswer,
    LiquidationsAnswer,
    LiquidationStepsAnswer,
    OperatorLiquidationsAnswer,
)
from api.streams import HistoryUnavailable

router = APIRouter(prefix="/api/v1", tags=["liquidations"])
T = TypeVar("T")
NEWEST = (1 << 62) - 1
Number = Annotated[int, Path(ge=1, le=NEWEST)]
Before = Annotated[int, Query(ge=1, le=NEWEST)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/liquidations", responses=errors("history_unavailable"))
async def liquidations(edge: EdgeGiven, before: Before = NEWEST, limit: Limit = 50) -> LiquidationsAnswer:
    """Liquidations, newest first. The read side lags by moments."""
    rows = await _read(edge.reads.liquidations(before, limit))
    return LiquidationsAnswer(liquidations=[views.liquidation(row) for row in rows])


@router.get("/liquidations/{number}", responses=errors("liquidation_unknown", "history_unavailable"))
async def liquidation(number: Number, edge: EdgeGiven) -> LiquidationStepsAnswer:
    """One liquidation with every step: how much, at which price, what went to the insurance fund."""
    found = await _read(edge.reads.liquidation(number))
    if found is None:
        raise ApiError("liquidation_unknown")
    return views.with_steps(*found, edge.hub.markets)


@router.get("/deleveragings", responses=errors("history_unavailable"))
async def deleveragings(edge: EdgeGiven, before: Before = NEWEST, limit: Limit = 50) -> DeleveragingsAnswer:
    """Positions closed against opposite ones because the insurance fund could not take them, newest first."""
    rows = await _read(edge.reads.deleveragings(before, limit))
    return DeleveragingsAnswer(deleveragings=[views.step(row, edge.hub.markets) for row in rows])


@router.get("/insurance", responses=errors())
async def insurance(edge: EdgeGiven) -> InsuranceAnswer:
    """The insurance fund as it stands."""
    answer = views.insurance(edge.engine.state, edge.hub.markets)
    await edge.hub.on_disk()
    return answer


@router.get("/insurance/history", responses=errors("history_unavailable"))
async def insurance_history(
    edge: EdgeGiven, before: Before = NEWEST, limit: Limit = 100
) -> InsuranceHistoryAnswer:
    """Everything that changed the insurance fund, newest first. The read side lags by moments."""
    rows = await _read(edge.reads.insurance_history(before, limit))
    return InsuranceHistoryAnswer(changes=[views.change(row) for row in rows])


@router.get("/operator/liquidations", responses=errors(*OPERATOR_ERRORS), dependencies=[OperatorOnly])
async def overview(edge: EdgeGiven) -> OperatorLiquidationsAnswer:
    """What is being liquidated, what should be and is not, and what the insurance fund holds. Every account is looked at."""
    answer = await views.overview(edge.engine.state)
    await edge.hub.on_disk()
    return answer


@router.get(
    "/operator/liquidations/going-on", responses=errors(*OPERATOR_ERRORS), dependencies=[OperatorOnly]
)
async def going_on(
    edge: EdgeGiven, account: Annotated[tuple[int, ...], Query(max_length=PLACES_MAX)] = ()
) -> GoingOnAnswer:
    """The same without a look at every account: should any of those asked about be liquidated and is not?"""
    answer = views.going_on(edge.engine.state, account)
    await edge.hub.on_disk()
    return answer


async def _read(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
