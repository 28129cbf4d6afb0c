"""The frame ledger over HTTP: what became of every captured frame."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from results.adapters.http_deps import BEARER, Deps, Viewer
from results.adapters.http_fields import CameraId, Moment, PageParams
from results.domain.balance import Balance
from results.domain.errors import invalid
from results.domain.queries import LedgerQuery
from results.domain.times import iso

USUAL = timedelta(days=1)
"""How far back the books are read unless the client says otherwise."""
LONGEST = timedelta(days=31)
MOST_EPOCHS = 100
"""Epochs that are listed per camera; all of them count."""

router = APIRouter(prefix="/api/v1/ledger", tags=["ledger"], dependencies=BEARER)


class LedgerParams(PageParams):
    """Whose frames, and from when to when; the last 24 hours unless it is said."""

    camera_id: CameraId | None = None
    start: Annotated[Moment | None, Field(alias="from", description="The usual: `to` - 24 h.")] = (
        None
    )
    end: Annotated[Moment | None, Field(alias="to", description="Excluded. The usual: now.")] = None


_FAILED = {"total": 1, "by_reason": {"poison": 1}}
_SHED = {"total": 30, "by_reason": {"max_age": 28, "superseded": 2}}
_COUNTS = {
    "captured": 1234,
    "processed": 1200,
    "failed": _FAILED,
    "shed": _SHED,
    "lost": {"total": 0, "by_reason": {}},
    "open": 3,
}
_EPOCH = {
    "epoch": "7232847360123456789",
    "lane": "live",
    "opened_at": "2025-11-06T12:40:00.000Z",
    "seen_at": "2025-11-06T12:44:06.800Z",
    "closed_at": None,
    "settled": False,
}
EXAMPLE: dict[str, Any] = {
    "status": "success",
    "from": "2025-11-05T12:45:00.000Z",
    "to": "2025-11-06T12:45:00.000Z",
    "in_all": _COUNTS,
    "cameras": [
        {
            "camera_id": "cam_550e8400-e29b-41d4-a716-446655440000",
            "camera_name": "Main Entrance",
            **_COUNTS,
            "epochs": [_EPOCH | _COUNTS],
            "epochs_left_out": 0,
        }
    ],
    "pagination": {"page": 1, "page_size": 20, "has_more": False},
}


@router.get(
    "",
    summary="What became of every captured frame",
    responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
)
def ledger(params: Annotated[LedgerParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """Captured = processed + failed + shed + lost + open, per camera and connection session.

    `open` frames have no outcome yet: they are on their way. A session that goes on before or
    after the time asked for counts in whole blocks of 4,096 frames. `in_all` is the sum of the
    cameras on this page; one without a name is a gateway, or was deleted.
    """
    since, until = _period(params, deps.clock.now())
    query = LedgerQuery(since=since, until=until, camera_id=params.camera_id, paging=params.paging)
    page = deps.ledger.balances(query)
    in_all = sum((camera.balance for camera in page.items), Balance())
    rendered = [camera.render(MOST_EPOCHS) for camera in page.items]
    answer = page.render("cameras", rendered, params.paging)
    return answer | {"from": iso(since), "to": iso(until), "in_all": in_all.render()}


def _period(params: LedgerParams, now: datetime) -> tuple[datetime, datetime]:
    until = params.end or now
    since = params.start or until - USUAL
    if since >= until:
        message = "from is not earlier than to"
        raise invalid("OUT_OF_RANGE", message, field="from", limit=iso(until))
    if until - since > LONGEST:
        message = f"from is more than {LONGEST.days} days earlier than to"
        raise invalid("OUT_OF_RANGE", message, field="from", limit=iso(until - LONGEST))
    return since, until
