"""What anyone may read."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import views, views_breakers, views_prices, views_vaults
from api.access import EdgeGiven, errors
from api.errors import ApiError
from api.outbound import micros
from api.schemas import FillStatusAnswer
from api.schemas_public import (
    BatchAnswer,
    BatchesAnswer,
    EscrowAnswer,
    FlagsAnswer,
    MakersAnswer,
    MarketAnswer,
    MarketsAnswer,
    QuotesAnswer,
    StatusAnswer,
)
from api.streams import HistoryUnavailable
from core.quantities import MILLISECOND
from matcher.limits import TTL_CLASSES
from matcher.state import adds_up

router = APIRouter(prefix="/api/v1", tags=["public"])
Number = Annotated[int, Path(ge=1, le=(1 << 62) - 1)]
Symbol = Annotated[str, Path(min_length=1, max_length=32)]


@router.get("/markets", responses=errors())
async def markets(edge: EdgeGiven) -> MarketsAnswer:
    """Listed markets with their parameters and index prices."""
    state, now = edge.engine.state, edge.clock()
    answer = MarketsAnswer(
        markets=[views.market(state, edge.hub.markets[id], now) for id in sorted(state.markets)],
        ttl_ms=[ttl // MILLISECOND for ttl in TTL_CLASSES],
    )
    await edge.hub.on_disk()
    return answer


@router.get("/markets/{symbol}", responses=errors("market_unknown"))
async def market(symbol: Symbol, edge: EdgeGiven) -> MarketAnswer:
    """One market: parameters, mark and what it is made of, index and how far it is believed, open interest and caps."""
    answer = views.market(edge.engine.state, edge.hub.markets.named(symbol), edge.clock())
    await edge.hub.on_disk()
    return answer


@router.get("/markets/{symbol}/quotes", responses=errors("market_unknown"))
async def quotes(
    symbol: Symbol, edge: EdgeGiven, depth: Annotated[int, Query(ge=1, le=50)] = 10
) -> QuotesAnswer:
    """Best standing quotes; requests may find better ones by asking."""
    answer = views.quotes(edge.engine.state, edge.hub.markets.named(symbol), depth)
    await edge.hub.on_disk()
    return answer


@router.get("/makers", responses=errors())
async def makers(
    edge: EdgeGiven,
    offset: Annotated[int, Query(ge=0, le=(1 << 62) - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MakersAnswer:
    """How makers answer and fill, a page at a time. The order is at most a second old."""
    ids = edge.statistics.ranked(time.monotonic_ns())[offset : offset + limit]
    made = edge.statistics.makers
    answer = MakersAnswer(makers=[views.maker(edge.engine.state, id, made[id]) for id in ids])
    await edge.hub.on_disk()
    return answer


@router.get("/fills/{number}", responses=errors("fill_unknown", "history_unavailable"))
async def fill(number: Number, edge: EdgeGiven) -> FillStatusAnswer:
    """Settlement status of a fill: matched, batched, submitted, confirmed, final."""
    recent = edge.streams.fill(number)
    row = views.recent_fill(edge.engine.state, *recent) if recent is not None else None
    if row is None:
        try:
            row = await edge.reads.fill(number)
        except HistoryUnavailable:
            raise ApiError("history_unavailable") from None
    if row is None:
        raise ApiError("fill_unknown")
    answer = views.fill_status(views.at_least(row, edge.hub.marks), edge.hub.markets)
    await edge.hub.on_disk()
    return answer


@router.get("/batches", responses=errors("history_unavailable"))
async def batches(
    edge: EdgeGiven,
    before: Annotated[int, Query(ge=1, le=(1 << 62) - 1)] = (1 << 62) - 1,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> BatchesAnswer:
    """Settlement batches, newest first."""
    try:
        rows = await edge.reads.batches(before, limit)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    return BatchesAnswer(batches=[views.batch(row, edge.hub.marks) for row in rows])


@router.get("/batches/{number}", responses=errors("batch_unknown", "history_unavailable"))
async def batch(number: Number, edge: EdgeGiven) -> BatchAnswer:
    """One batch with the signatures of its transactions."""
    try:
        row = await edge.reads.batch(number)
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    if row is None:
        raise ApiError("batch_unknown")
    return views.batch(row, edge.hub.marks)


@router.get("/escrow", responses=errors())
async def escrow(edge: EdgeGiven) -> EscrowAnswer:
    """Addresses that an agent needs to deposit by itself."""
    return EscrowAnswer(**edge.escrow._asdict())


@router.get("/status", responses=errors())
async def status(edge: EdgeGiven) -> StatusAnswer:
    """The exchange at a glance: whether money and positions add up, and how far every market's index is believed and why."""
    state = edge.engine.state
    last = state.cut.batch if state.cut is not None else None
    answer = StatusAnswer(
        now=micros(edge.clock()),
        seq=state.seq,
        epoch=state.epoch,
        fills=state.last_fill,
        agents=len(state.names),
        connections=edge.hub.connection_count(),
        open_requests=len(state.book.requests),
        markets=[state.markets[id].symbol for id in sorted(state.markets)],
        last_batch=last,
        last_batch_status=views.STATUS_NAMES[state.batches[last]] if last is not None else None,
        conserved=adds_up(state, state.sums),
        positions_zero_sum=state.sums.zero,
        websocket=edge.websocket_url(),
        prices=views_prices.prices(state, edge.hub.markets, edge.prices, edge.clock()),
        withdrawals=views_breakers.withdrawals(state),
        settlement=views_breakers.settlement(state),
        flags=FlagsAnswer(risk_template=views_vaults.template(edge.vaults.common)),
    )
    await edge.hub.on_disk()
    return answer
