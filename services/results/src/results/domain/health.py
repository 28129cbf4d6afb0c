"""The health of each stage, as far as a gateway can see it from the topics."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mesh.events import ModelStatus, StreamState
from results.domain.models import ALIVE_FOR, ILL, heard, is_available, is_loaded
from results.domain.times import iso

OK, IDLE, DEGRADED, DOWN = "ok", "idle", "degraded", "down"


def render_health(
    *,
    now: datetime,
    models: Sequence[ModelStatus],
    cameras: Sequence[StreamState],
    result_age: float | None,
    problems: Mapping[str, str],
) -> dict[str, Any]:
    """Every stage with its state: ok, idle (nothing to do), degraded or down.

    Args:
        now: The present, UTC.
        models: The last heartbeat of every model in every process.
        cameras: The state of every camera.
        result_age: Seconds since the last result, if there was one.
        problems: What this gateway lacks, by check.
    """
    live = cameras.count(StreamState.LIVE)
    wanted = len(cameras) - cameras.count(StreamState.STOPPED)
    spoken = heard(models, now)
    stages = {
        "camera": _cameras(cameras, live, wanted),
        "detection": _models("detection", spoken, now),
        "recognition": _models("recognition", spoken, now),
        "aggregator": _aggregator(result_age, busy=live > 0),
        "gateway": {"state": DEGRADED if problems else OK, "problems": dict(problems)},
    }
    ill = any(stage["state"] in (DEGRADED, DOWN) for stage in stages.values())
    return {"status": DEGRADED if ill else OK, "at": iso(now), "stages": stages}


def _cameras(cameras: Sequence[StreamState], live: int, wanted: int) -> dict[str, Any]:
    states = {state.value: cameras.count(state) for state in StreamState}
    if not wanted:
        state = IDLE
    elif live == wanted:
        state = OK
    else:
        state = DEGRADED if live else DOWN
    return {"state": state, "cameras": states}


def _models(stage: str, models: Sequence[ModelStatus], now: datetime) -> dict[str, Any]:
    mine = [model for model in models if model.service == stage]
    alive = [model for model in mine if is_available(model, now)]
    queues: dict[str, int] = {}
    for model in alive:
        queues[model.instance_id] = max(model.queue, queues.get(model.instance_id, 0))
    ill = sorted({each.model_id for each in mine if is_loaded(each, now) and each.state in ILL})
    healthy = DEGRADED if ill else OK
    return {
        "state": healthy if alive else DOWN,
        "instances": len(queues),
        "models": sorted({model.model_id for model in alive}),
        "ill_models": ill,
        "queue": sum(queues.values()),
        "utilisation": round(max((model.utilisation for model in alive), default=0.0), 3),
        "last_heartbeat": iso(max((model.heartbeat_at for model in mine), default=None)),
    }


def _aggregator(result_age: float | None, *, busy: bool) -> dict[str, Any]:
    flowing = result_age is not None and result_age <= ALIVE_FOR.total_seconds()
    silent = DOWN if busy else IDLE
    return {
        "state": OK if flowing else silent,
        "seconds_since_result": None if result_age is None else round(result_age, 1),
    }
