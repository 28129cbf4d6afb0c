"""`GET /api/v1/detections/statistics`: figures of frames and stages, per camera and in all."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from results.adapters.http_deps import BEARER, Deps, Viewer
from results.adapters.http_fields import Body, CameraId, refusal
from results.domain.statistics import PERIODS, Figures, start_of
from results.domain.times import iso

router = APIRouter(prefix="/api/v1/detections/statistics", tags=["detections"], dependencies=BEARER)


def _period(value: str) -> str:
    if value not in PERIODS:
        allowed = list(PERIODS)
        raise refusal("INVALID_PERIOD", f"must be one of {', '.join(allowed)}", limit=allowed)
    return value


class StatisticsParams(Body):
    """How far back, and of which camera."""

    period: Annotated[
        str,
        AfterValidator(_period),
        Field(description=f"One of {', '.join(PERIODS)}.", examples=["1h"]),
    ] = "1h"
    camera_id: CameraId | None = None


_FIGURES: dict[str, Any] = {
    "frames": 18000,
    "detections": 23810,
    "identified": 15210,
    "unknown": 8600,
    "drops": {
        "failed": {"total": 1, "by_reason": {"poison": 1}},
        "shed": {"total": 30, "by_reason": {"stale": 30}},
        "lost": {"total": 0, "by_reason": {}},
    },
    "latency_ms": {
        "total": {"p50": 62.1, "p95": 118.4, "p99": 176.0},
        "camera": {"p50": 3.4, "p95": 6.1, "p99": 9.0},
        "wait_detection": {"p50": 5.2, "p95": 14.8, "p99": 28.3},
        "detection": {"p50": 14.9, "p95": 22.0, "p99": 38.5},
    },
}
EXAMPLE: dict[str, Any] = {
    "status": "success",
    "period": "1h",
    "from": "2025-11-06T11:45:00.000Z",
    "to": "2025-11-06T12:45:23.123Z",
    "in_all": _FIGURES,
    "cameras": [
        {
            "camera_id": "cam_550e8400-e29b-41d4-a716-446655440000",
            "camera_name": "Main Entrance",
            **_FIGURES,
        }
    ],
}


@router.get(
    "",
    summary="Figures of frames, per camera and in all",
    responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
)
def statistics(
    params: Annotated[StatisticsParams, Query()], deps: Deps, _: Viewer
) -> dict[str, Any]:
    """Frames, faces, drops by reason, and the latency of every stage and of the wait for it.

    Added up from counters of minutes (to one hour) or hours, so `from` is a whole one. `frames`
    were processed; a drop counts once, when its frame first got an outcome, and the ledger tells
    if a later result overruled it. Percentiles are interpolated within buckets. A camera without
    a name is a gateway, or was deleted.
    """
    now = deps.clock.now()
    since, span = start_of(params.period, now), PERIODS[params.period][1]
    found = deps.statistics.figures(span, since, params.camera_id)
    in_all = Figures()
    for camera in found:
        in_all.include(camera.figures)
    return {
        "status": "success",
        "period": params.period,
        "from": iso(since),
        "to": iso(now),
        "in_all": in_all.render(),
        "cameras": [
            {"camera_id": each.camera_id, "camera_name": each.camera_name, **each.figures.render()}
            for each in found
        ],
    }
