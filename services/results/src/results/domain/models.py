"""Models as clients name them: by identifier, or by the specification's names for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.events import ModelStatus
from results.domain.errors import not_allowed, unavailable

DETECTION = "face-detection"
RECOGNITION = "face-recognition"
OBJECTS = "object-detection"
ALIVE_FOR = timedelta(seconds=10)
"""A model whose last heartbeat is older is no longer there."""
KNOWN_FOR = timedelta(minutes=1)
"""A model whose last heartbeat is older is forgotten; a process starts again within it."""
EXCHANGED_AFTER = timedelta(seconds=3)
"""A process that has spoken since of another model, or another engine, has given this one up."""
USABLE = ("available", "degraded")
"""States of a model that answers."""
ILL = ("degraded", "failed")
"""States of a model that somebody should look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model of the registry that this version ships, loaded or not."""

    model_id: str
    task: str
    name: str
    version: str
    licence: str
    commercial: bool
    """Whether the licence allows commercial use."""
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each file; the hash of a user's file may be empty."""
    embedding_size: int | None = None
    aliases: tuple[str, ...] = ()
    accuracy_lfw: float | None = None
    """Share of LFW's pairs told right, where somebody measured it."""
    accuracy_map: float | None = None
    """Mean average precision, where somebody measured it."""
    accuracy_origin: str | None = None
    """On what, and how."""
    min_face_size: int | None = None
    """Shorter side of the smallest face that it is known to find, pixels."""
    accept: str | None = None
    """Name that SIGHTLINE_ACCEPT_LICENCES of a service needs before it loads the model."""


def heard(statuses: Iterable[ModelStatus], now: datetime) -> list[ModelStatus]:
    """The heartbeats of the last minute, without those of models that were exchanged since."""
    recent = [status for status in statuses if now - status.heartbeat_at <= KNOWN_FOR]
    last: dict[tuple[str, ...], datetime] = {}
    for status in recent:
        duty = _duty(status)
        last[duty] = max(status.heartbeat_at, last.get(duty, status.heartbeat_at))
    return [one for one in recent if last[_duty(one)] - one.heartbeat_at <= EXCHANGED_AFTER]


def _duty(status: ModelStatus) -> tuple[str, ...]:
    return status.service, status.instance_id, status.task


def is_loaded(status: ModelStatus, now: datetime) -> bool:
    """Whether its process still speaks."""
    return now - status.heartbeat_at <= ALIVE_FOR


def is_available(status: ModelStatus, now: datetime) -> bool:
    """Whether the model can be used right now."""
    return is_loaded(status, now) and status.state in USABLE


def allowed_names(statuses: Iterable[ModelStatus], *tasks: str) -> list[str]:
    """Every name that means a loaded model of the tasks: identifiers first, then aliases."""
    matching = [status for status in statuses if status.task in tasks]
    identifiers = {status.model_id for status in matching}
    aliases = {alias for status in matching for alias in status.aliases}
    return [*sorted(identifiers), *sorted(aliases - identifiers)]


def check_model(
    name: str | None, statuses: Sequence[ModelStatus], *, tasks: Sequence[str], field: str
) -> None:
    """Refuse a name that means no loaded model of the tasks.

    Raises:
        ApiError: The name is unknown, or no model has reported yet.
    """
    if name is None:
        return
    names = allowed_names(statuses, *tasks)
    if not names:
        message = f"no model for {' or '.join(tasks)} has reported yet"
        raise unavailable("MODEL_UNAVAILABLE", message, field=field)
    if name not in names:
        raise not_allowed(field, name, names, code="MODEL_UNKNOWN")
