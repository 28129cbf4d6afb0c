"""What cameras and requests may look for, and which models that takes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mesh.events import Purpose, Request

FACE = "face"
DROWSINESS = "drowsiness"

NEEDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        FACE: ("face-detection",),
        "person": ("object-detection",),
        "vehicle": ("object-detection",),
        "object": ("object-detection",),
        DROWSINESS: ("face-landmarks", "eye-state"),
        "liveness": ("liveness",),
        "activity": ("object-detection",),
        "age_gender": ("age-gender",),
    }
)
"""A task, and the tasks of models of which one must be loaded."""

HELPS: Mapping[str, Sequence[str]] = MappingProxyType({DROWSINESS: ("head-pose",)})
"""A task, and the tasks of models that add to it where they are loaded."""

MODEL_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "face-recognition": FACE,
        "face-detection": FACE,
        "person-detection": "person",
        "vehicle-detection": "vehicle",
        "object-detection": "object",
        "activity-detection": "activity",
    }
)
"""The values of `model_type` of a request, and the task that each means."""


def tasks_of_request(request: Request, purpose: Purpose) -> frozenset[str]:
    """What a pushed picture is to be searched for.

    A `model_type` that is not known is passed on as a task of that name, which no model can do.
    """
    asked = {MODEL_TYPES.get(request.model_type, request.model_type), *request.tasks}
    if purpose is Purpose.DROWSINESS:
        asked.add(DROWSINESS)
    return frozenset(asked)


def can_be_done(task: str, loaded: frozenset[str]) -> bool:
    """Whether one of the models that serve a task is loaded; nothing serves an unknown task.

    Args:
        task: of a camera or a request.
        loaded: tasks of the loaded models.
    """
    return not loaded.isdisjoint(NEEDS.get(task, ()))
