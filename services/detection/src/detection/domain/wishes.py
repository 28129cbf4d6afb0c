"""What a frame is to be searched for, and by which models."""

from mesh.events import FrameCaptured
from mesh.tasks import tasks_of_request

FACES = "face-detection"
OBJECTS = "object-detection"
LIVENESS = "liveness"
LANDMARKS = "face-landmarks"
EYES = "eye-state"
POSE = "head-pose"
AGES = "age-gender"
"""Tasks of models, as the model registry names them."""

FACE_TASKS = frozenset({"face", "drowsiness", "liveness", "age_gender"})
"""Tasks that begin with finding faces."""


def wishes(event: FrameCaptured) -> frozenset[str]:
    """The tasks of the request, else those of the camera."""
    if event.request is not None:
        return tasks_of_request(event.request, event.frame.purpose)
    return frozenset(event.detection.tasks)
