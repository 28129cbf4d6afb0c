"""The model registry as clients see it: what is loaded where and how it does (7.1)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mesh.events import ModelStatus
from mesh.tasks import NEEDS, can_be_done
from results.domain.models import (
    DETECTION,
    OBJECTS,
    RECOGNITION,
    USABLE,
    KnownModel,
    heard,
    is_available,
    is_loaded,
)
from results.domain.times import iso

SILENT = "silent"
"""State of a model whose processes have stopped to speak."""
NOT_LOADED = "not_loaded"
"""State of a model of the registry that no process has."""
FIRST = 1
"""Priority of a model that serves: others of its task are asked only once it is exchanged."""
_LISTS = {
    DETECTION: "detection_models",
    OBJECTS: "detection_models",
    RECOGNITION: "recognition_models",
}
_ALWAYS = ("detection_models", "recognition_models")
_FIGURES = (
    "utilisation", "queue", "latency_p50_ms", "latency_p99_ms", "throughput_fps", "memory_mb",
)  # fmt: skip


def render_models(
    statuses: Iterable[ModelStatus], known: Iterable[KnownModel], now: datetime
) -> dict[str, Any]:
    """Every model that has reported lately or could be loaded, by kind, best first.

    Nothing is said of a model that no heartbeat and no registry entry says.
    """
    reported: dict[str, list[ModelStatus]] = {}
    for status in heard(statuses, now):
        reported.setdefault(status.model_id, []).append(status)
    registered = {model.model_id: model for model in known}
    rendered = [
        _reported(found, registered.get(model_id), now) for model_id, found in reported.items()
    ]
    rendered += [_known(model) for key, model in registered.items() if key not in reported]
    lists: dict[str, Any] = {name: [] for name in _ALWAYS}
    for model in sorted(rendered, key=_rank):
        lists.setdefault(list_of(model["type"]), []).append(model)
    return lists | {"tasks": _tasks([each for found in reported.values() for each in found], now)}


def list_of(task: str) -> str:
    """The list that models of a task are in: detectors together, every other task by its name."""
    return _LISTS.get(task) or f"{task.replace('-', '_')}_models"


def state_of(found: Sequence[ModelStatus], now: datetime) -> str:
    """What several processes' reports of one model amount to.

    available if all of them are, degraded if only some answer or one is degraded, failed if none
    answers, loading while none is ready, silent if none speaks any more.
    """
    states = {status.state for status in found if is_loaded(status, now)}
    if not states:
        return SILENT
    if states == {"available"}:
        return "available"
    if states & {*USABLE}:
        return "degraded"
    return "failed" if "failed" in states else "loading"


def count_states(
    statuses: Iterable[ModelStatus], now: datetime
) -> Mapping[tuple[str, str, str], int]:
    """How many processes have a model in a state, by task, model and state."""
    return Counter(
        (status.task, status.model_id, status.state if is_loaded(status, now) else SILENT)
        for status in heard(statuses, now)
    )


def _rank(model: Mapping[str, Any]) -> tuple[Any, ...]:
    others_last = model["type"] not in (DETECTION, RECOGNITION)
    return (not model["loaded"], others_last, model["type"], model["model_id"])


def _reported(
    found: Sequence[ModelStatus], known: KnownModel | None, now: datetime
) -> dict[str, Any]:
    alive = [status for status in found if is_loaded(status, now)] or list(found)
    ordered = sorted(alive, key=lambda each: (not is_available(each, now), each.instance_id))
    first = ordered[0]
    shown = {
        **_identity(first),
        "pack": first.pack or None,
        "commercial": known.commercial if known else None,
        "licence_to_accept": known.accept if known else None,
        "sha256": first.sha256,
        "files": [name for name, _ in known.files] if known else None,
        "path": first.path,
        "device": first.device,
        "engine": first.engine,
        "precision": first.precision,
        "service": first.service,
        "state": state_of(found, now),
        "loaded": any(is_loaded(status, now) for status in found),
        "is_available": any(is_available(status, now) for status in found),
        "aliases": list(first.aliases),
        "embedding_size": first.embedding_size,
        "threshold": first.threshold,
        "priority": FIRST if any(is_loaded(status, now) for status in found) else None,
        **(_measured(known) if known else {}),
        **_together(alive),
        "max_batch_size": max(status.max_batch for status in alive),
        "heartbeat_at": iso(max(status.heartbeat_at for status in found)),
    }
    instances = [_instance(each, now) for each in sorted(found, key=lambda one: one.instance_id)]
    return _told(shown) | {"instances": instances}


def _known(model: KnownModel) -> dict[str, Any]:
    shown = {
        **_identity(model),
        "commercial": model.commercial,
        "licence_to_accept": model.accept,
        "files": [name for name, _ in model.files],
        "sha256": {name: sha256 for name, sha256 in model.files if sha256} or None,
        "state": NOT_LOADED,
        "loaded": False,
        "is_available": False,
        "aliases": list(model.aliases),
        "embedding_size": model.embedding_size,
        **_measured(model),
    }
    return _told(shown) | {"instances": []}


def _measured(model: KnownModel) -> dict[str, Any]:
    return {
        "accuracy_lfw": model.accuracy_lfw,
        "accuracy_map": model.accuracy_map,
        "accuracy_origin": model.accuracy_origin,
        "min_face_size": model.min_face_size,
    }


def _identity(model: ModelStatus | KnownModel) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "name": model.name,
        "version": model.version,
        "type": model.task,
        "licence": model.licence,
    }


def _together(alive: Sequence[ModelStatus]) -> dict[str, float | None]:
    """Figures of all processes: slowest, busiest and largest count, rates and queues add up."""

    def of(name: str, add: Any) -> Any:
        values = [getattr(status, name) for status in alive]
        return add([value for value in values if value is not None] or [None])

    def total(values: Sequence[Any]) -> Any:
        return None if values == [None] else sum(values)

    sums = ("queue", "throughput_fps")
    return {name: of(name, total if name in sums else max) for name in _FIGURES}


def _instance(status: ModelStatus, now: datetime) -> dict[str, Any]:
    loaded = is_loaded(status, now)
    return _told(
        {
            "instance_id": status.instance_id,
            "service": status.service,
            "device": status.device,
            "engine": status.engine,
            "precision": status.precision,
            "path": status.path,
            "sha256": status.sha256,
            "state": status.state if loaded else SILENT,
            "is_available": is_available(status, now),
            **{name: getattr(status, name) for name in _FIGURES},
            "max_batch_size": status.max_batch,
            "heartbeat_at": iso(status.heartbeat_at),
        }
    )


def _tasks(found: Sequence[ModelStatus], now: datetime) -> dict[str, Any]:
    """What cameras and requests may look for at the moment, and with which models."""
    usable = [status for status in found if is_available(status, now)]
    kinds = frozenset(status.task for status in usable)
    return {
        task: {
            "is_available": can_be_done(task, kinds),
            "needs": list(needs),
            "models": sorted({each.model_id for each in usable if each.task in needs}),
        }
        for task, needs in NEEDS.items()
    }


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of it; nothing is shown as null."""
    return {name: value for name, value in values.items() if value is not None}
