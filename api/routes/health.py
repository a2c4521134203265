"""For supervisors and monitoring."""

import time

from fastapi import APIRouter, Response

from api.access import EdgeGiven, errors
from api.errors import ApiError
from api.schemas_public import HealthAnswer, ReadyAnswer
from api.streams import HistoryUnavailable
from core.quantities import MILLISECOND

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


@router.get("/ready", responses=errors("history_unavailable"))
async def ready(edge: EdgeGiven) -> ReadyAnswer:
    """The journal accepts records and the read side answers."""
    await edge.hub.on_disk()
    try:
        projected = await edge.reads.projected()
    except HistoryUnavailable:
        raise ApiError("history_unavailable") from None
    ahead = (time.time_ns() - edge.engine.clock()) // MILLISECOND
    return ReadyAnswer(status="ready", seq=edge.engine.synced, projected=projected, clock_ahead_ms=ahead)


@router.get(
    "/metrics",
    responses={**errors(), 200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
    response_class=Response,
)
async def metrics(edge: EdgeGiven) -> Response:
    """Prometheus metrics."""
    return Response(edge.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
