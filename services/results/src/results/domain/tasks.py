"""Which tasks of cameras and requests the loaded models can do; the others are refused."""

from collections.abc import Collection, Iterable, Sequence

from mesh.events import ModelStatus
from mesh.tasks import FACE, MODEL_TYPES, NEEDS, can_be_done
from results.domain.errors import ApiError, not_allowed
from results.domain.models import DETECTION, OBJECTS


def served(statuses: Iterable[ModelStatus]) -> list[str]:
    """The tasks that can be asked for; faces always can, they only may have to wait."""
    loaded = frozenset(status.task for status in statuses)
    return [task for task in NEEDS if task == FACE or can_be_done(task, loaded)]


def check_tasks(
    tasks: Sequence[str],
    statuses: Collection[ModelStatus],
    *,
    field: str,
    settled: Collection[str] = (),
) -> None:
    """Refuse a task that no loaded model serves.

    Args:
        tasks: What is asked for.
        statuses: The heartbeats of the last minute.
        field: Path of the list.
        settled: Tasks that were accepted before.

    Raises:
        ApiError: 422 `TASK_UNAVAILABLE` with the task, what it needs and what is loaded.
    """
    possible = served(statuses)
    for index, task in enumerate(tasks):
        if task not in possible and task not in settled:
            raise _unavailable(task, task, statuses, field=f"{field}.{index}", limit=possible)


def check_model_type(name: str, statuses: Collection[ModelStatus], *, field: str) -> None:
    """Refuse a model type that no loaded model serves.

    Raises:
        ApiError: The type is outside the list, or nothing loaded serves it.
    """
    possible = served(statuses)
    types = [kind for kind, task in MODEL_TYPES.items() if task in possible]
    if name not in MODEL_TYPES:
        raise not_allowed(field, name, types, code="MODEL_TYPE_UNKNOWN")
    if name not in types:
        raise _unavailable(MODEL_TYPES[name], name, statuses, field=field, limit=types)


def detectors_of(model_type: str, tasks: Iterable[str]) -> list[str]:
    """The kinds of detectors that a request may name a model of."""
    asked = [MODEL_TYPES[model_type], *tasks]
    of_objects = {OBJECTS in NEEDS[task] for task in asked}
    kinds = ((DETECTION, False), (OBJECTS, True))
    return [kind for kind, objects in kinds if objects in of_objects]


def _unavailable(
    task: str, shown: str, statuses: Collection[ModelStatus], *, field: str, limit: list[str]
) -> ApiError:
    needs = NEEDS[task]
    loaded = sorted({f"{status.model_id} ({status.task})" for status in statuses})
    message = (
        f"{field} is {shown!r}, which needs a loaded model for {' or '.join(needs)};"
        f" loaded: {', '.join(loaded) or 'none'}"
    )
    details = {"task": task, "needs": list(needs), "loaded": loaded}
    return ApiError(422, "TASK_UNAVAILABLE", message, field=field, limit=limit, details=details)
