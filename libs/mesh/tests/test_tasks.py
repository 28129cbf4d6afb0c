import pytest

from mesh.events import Purpose
from mesh.tasks import MODEL_TYPES, NEEDS, can_be_done, tasks_of_request
from mesh.testing import a_request


@pytest.mark.parametrize("model_type", ["face-recognition", "face-detection"])
def test_a_request_looks_for_faces_unless_it_says_otherwise(model_type: str) -> None:
    request = a_request(model_type=model_type)
    assert tasks_of_request(request, Purpose.PROCESS_FRAME) == {"face"}
    assert tasks_of_request(request, Purpose.DROWSINESS) == {"face", "drowsiness"}


def test_a_request_may_name_further_tasks() -> None:
    request = a_request(model_type="person-detection", tasks=("liveness", "face"))
    assert tasks_of_request(request, Purpose.PROCESS_FRAME) == {"person", "liveness", "face"}


def test_every_model_type_means_a_task_that_models_can_do() -> None:
    assert set(MODEL_TYPES.values()) <= set(NEEDS)


def test_a_task_can_be_done_if_one_of_its_models_is_loaded() -> None:
    assert can_be_done("face", frozenset({"face-detection"}))
    assert can_be_done("drowsiness", frozenset({"face-detection", "eye-state"}))
    assert not can_be_done("drowsiness", frozenset({"face-detection"}))


def test_an_unknown_task_cannot_be_done() -> None:
    request = a_request(model_type="gaze-detection")
    (task,) = tasks_of_request(request, Purpose.PROCESS_FRAME)
    assert not can_be_done(task, frozenset({"face-detection"}))
