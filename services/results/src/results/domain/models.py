"""Models as clients name them: by identifier, or by the specification's names for them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from mesh.events import ModelStatus
from results.domain.errors import not_allowed, unavailable
from results.domain.times import iso

DETECTION = "face-detection"
RECOGNITION = "face-recognition"
MODEL_TYPES = (RECOGNITION, DETECTION, "person-detection")
"""The specification's values of `model_type`, 4.1.1."""
ALIVE_FOR = timedelta(seconds=10)
"""A model whose last heartbeat is older is no longer there."""


def allowed_names(statuses: Iterable[ModelStatus], task: str) -> list[str]:
    """Every name that means a loaded model of the task: identifiers first, then aliases."""
    matching = [status for status in statuses if status.task == task]
    identifiers = {status.model_id for status in matching}
    aliases = {alias for status in matching for alias in status.aliases}
    return [*sorted(identifiers), *sorted(aliases - identifiers)]


def check_model(
    name: str | None, statuses: Sequence[ModelStatus], *, task: str, field: str
) -> None:
    """Refuse a name that means no loaded model of the task.

    Raises:
        ApiError: The name is unknown, or no model has reported yet.
    """
    if name is None:
        return
    names = allowed_names(statuses, task)
    if not names:
        message = f"no model for {task} has reported yet"
        raise unavailable("MODEL_UNAVAILABLE", message, field=field)
    if name not in names:
        raise not_allowed(field, name, names, code="MODEL_UNKNOWN")


def check_model_type(name: str, statuses: Sequence[ModelStatus], *, field: str) -> None:
    """Refuse a model type that no loaded model serves.

    Raises:
        ApiError: The type is outside the specification's list, or nothing loaded serves it.
    """
    served = [kind for kind in MODEL_TYPES if kind in (RECOGNITION, DETECTION)]
    served += [status.task for status in statuses if status.task == "person-detection"][:1]
    if name not in served:
        raise not_allowed(field, name, served, code="MODEL_TYPE_UNKNOWN")


def render_models(statuses: Iterable[ModelStatus], now: datetime) -> dict[str, Any]:
    """The model registry as the specification shows it, 7.1."""
    rendered: dict[str, list[Mapping[str, Any]]] = {
        "detection_models": [],
        "recognition_models": [],
    }
    ordered = sorted(statuses, key=lambda status: (status.model_id, status.instance_id))
    for status in ordered:
        kind = "recognition_models" if status.task == RECOGNITION else "detection_models"
        rendered[kind].append(_render(status, now))
    return rendered


def is_available(status: ModelStatus, now: datetime) -> bool:
    """Whether the model can be used right now."""
    alive = now - status.heartbeat_at <= ALIVE_FOR
    return alive and status.state in ("available", "degraded")


def _render(status: ModelStatus, now: datetime) -> dict[str, Any]:
    return {
        "model_id": status.model_id,
        "name": status.name,
        "version": status.version,
        "type": status.task,
        "pack": status.pack,
        "licence": status.licence,
        "sha256": status.sha256,
        "device": status.device,
        "engine": status.engine,
        "instance_id": status.instance_id,
        "service": status.service,
        "state": status.state,
        "is_available": is_available(status, now),
        "aliases": list(status.aliases),
        "embedding_size": status.embedding_size,
        "threshold": status.threshold,
        "utilisation": status.utilisation,
        "queue": status.queue,
        "latency_p50_ms": status.latency_p50_ms,
        "latency_p99_ms": status.latency_p99_ms,
        "throughput_fps": status.throughput_fps,
        "memory_mb": status.memory_mb,
        "max_batch_size": status.max_batch,
        "heartbeat_at": iso(status.heartbeat_at),
    }
