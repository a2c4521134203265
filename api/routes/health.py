"""For supervisors and monitoring."""

from fastapi import APIRouter, Response

from api.access import EdgeGiven, errors
from api.errors import ApiError
from api.schemas_public import HealthAnswer, ReadyAnswer
from api.streams import HistoryUnavailable
from core.quantities import MILLISECOND
from matcher.clock import STEP_MAX, wall_ahead

router = APIRouter(tags=["health"])


@router.get("/health", responses=errors())
async def health(edge: EdgeGiven) -> HealthAnswer:
    """The process runs and its loop turns; below `disk_floor_bytes` it refuses requests that may add risk."""
    room = edge.engine.room
    return HealthAnswer(
        status="no_room" if room.short else "ok",
        disk_free_bytes=room.free,
        disk_floor_bytes=room.free_min,
    )


@router.get("/ready", responses=errors("history_unavailable", "ledger_ahead", "clock_stepped"))
async def ready(edge: EdgeGiven) -> ReadyAnswer:
    """The journal accepts records, and the read side answers and is of this journal, and the clock did not step."""
    await edge.hub.on_disk()
    try:
        projected = await edge.reads.projected()
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    # What is decided, not what is known to be synced: the projector may hear of a sync before this loop does.
    if projected > edge.engine.state.seq:
        raise ApiError("ledger_ahead")
    ahead = wall_ahead(edge.engine.clock)
    if abs(ahead) > STEP_MAX:
        raise ApiError("clock_stepped")
    return ReadyAnswer(
        status="ready", seq=edge.engine.synced, projected=projected, clock_ahead_ms=ahead // MILLISECOND
    )


@router.get(
    "/metrics",
    responses={**errors(), 200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
    response_class=Response,
)
async def metrics(edge: EdgeGiven) -> Response:
    """Prometheus metrics."""
    await edge.vault_metrics.refresh()
    return Response(edge.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
