"""What further models say of faces and persons, as it is shown and stored."""

import json

from mesh.events import (
    Activity,
    AgeGender,
    FaceAttributes,
    FaceQuality,
    Liveness,
    ModelUse,
    Point,
    Pose,
    ResultDetection,
)
from mesh.testing import a_frame_result, a_result_detection
from results.domain.attributes import render_attributes
from results.domain.rendering import render_result
from results.domain.rows import detection_rows

ATTRIBUTES = FaceAttributes(
    left_eye_openness=0.31234,
    right_eye_openness=0.3,
    left_eye_open=0.97,
    mouth_openness=0.05,
    left_eye_contour=(Point(x=1.04, y=2.0),),
    liveness=Liveness(score=0.98765, model_id="minifasnet-v2"),
    age_gender=AgeGender(
        age_group="25-34", gender="female", gender_confidence=0.9, model_id="age-gender-0013"
    ),
)
FALL = Activity(name="fall", score=0.8, model_id="fall-heuristic")


def a_use(task: str, *, fallback: bool = False) -> ModelUse:
    return ModelUse(
        task=task, model_id=f"a-{task}", name=task, version="1", device="CPU",
        engine="onnxruntime", latency_ms=1.0, fallback_used=fallback,
    )  # fmt: skip


def shown(item: ResultDetection) -> dict[str, object]:
    (detection,) = render_result(a_frame_result(detections=(item,)), {})["detections"]
    return dict(detection)


def test_attributes_are_shown_with_the_face_and_without_what_nobody_asked_for() -> None:
    face = shown(a_result_detection(attributes=ATTRIBUTES))["face_attributes"]
    assert isinstance(face, dict)
    assert face["eye_openness"] == {"left": 0.3123, "right": 0.3}
    assert face["eye_open_probability"] == {"left": 0.97}
    assert face["mouth_openness"] == 0.05
    assert face["liveness"] == {"score": 0.9877, "model_id": "minifasnet-v2"}
    assert face["age_gender"]["age_group"] == "25-34"
    assert face["contours"] == {"left_eye": [[1.0, 2.0]]}
    assert not {"eye_blink", "smile"} & {*face}
    assert isinstance(a_result_detection().quality, FaceQuality)
    assert render_attributes(FaceAttributes()) == {}


def test_angles_are_tenths_of_a_degree() -> None:
    pose = Pose(yaw=-6.6809444, pitch=1.25999, roll=0.0)
    face = shown(a_result_detection(pose=pose))["face_attributes"]
    assert isinstance(face, dict)
    assert face["pose"] == {"yaw": -6.7, "pitch": 1.3, "roll": 0.0}


def test_an_activity_is_shown_with_the_person_only() -> None:
    person = a_result_detection(
        detection_type="person", class_name="person", decision=None, quality=None, activity=FALL
    )
    assert shown(person)["activity"] == {
        "name": "fall", "score": 0.8, "model_id": "fall-heuristic",
    }  # fmt: skip
    assert "activity" not in shown(a_result_detection())


def test_every_model_that_ran_is_named_and_who_stood_in() -> None:
    models = tuple(
        a_use(task, fallback=task == "liveness")
        for task in ("face-detection", "face-recognition", "liveness")
    )
    info = render_result(a_frame_result(models=models), {})["model_info"]
    assert info["fallback_used"]
    assert not info["detection_model"]["fallback_used"]
    assert [(each["task"], each["fallback_used"]) for each in info["further_models"]] == [
        ("liveness", True)
    ]


def test_objects_alone_are_found_by_their_own_detector() -> None:
    result = a_frame_result(models=(a_use("object-detection"),), detections=())
    rendered = render_result(result, {})
    assert rendered["message"] == "Nothing detected in frame"
    assert rendered["model_info"]["detection_model"]["model_id"] == "a-object-detection"
    assert rendered["model_info"]["further_models"] == []


def test_rows_keep_attributes_but_no_contours() -> None:
    face = a_result_detection(attributes=ATTRIBUTES, activity=FALL)
    (row,) = detection_rows(a_frame_result(detections=(face,)))
    assert json.loads(json.dumps(row)) == row
    assert row["attributes"]["liveness"] == {"score": 0.98765, "model_id": "minifasnet-v2"}
    assert {"left_eye_contour", "smile"} & {*row["attributes"]} == set()
    assert row["activity"]["name"] == "fall"
    (plain,) = detection_rows(a_frame_result())
    assert (plain["attributes"], plain["activity"]) == (None, None)
