"""A pushed picture, an enrolment, and what users read afterwards, through the whole mesh."""

import base64
import time
from functools import partial
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.e2e.observer import BUSY, CONSENT, PATIENCE, Mesh, jpeg, wait_for

from local.sample import Sample

pytestmark = pytest.mark.e2e
REMEMBERED = 5.0
"""So many seconds the gateways remember the identifier of a frame."""


@pytest.fixture(scope="module")
def camera(mesh: Mesh, small_clip: Any) -> str:
    """A registered camera that does not capture."""
    camera_id = mesh.add_file_camera("Main Entrance", str(small_clip), 0.5)
    mesh.stop_camera(camera_id)
    return camera_id


def found(mesh: Mesh, path: str) -> httpx2.Response | None:
    """The answer, once it is a success."""
    answer = mesh.http.get(path)
    return answer if answer.is_success else None


@pytest.fixture(scope="module")
def recognised(mesh: Mesh, camera: str, grace: str, sample: Sample) -> dict[str, Any]:
    """The first answer with a name: a replica's mirror of the gallery may be a second behind."""
    photo = sample.portrait.read_bytes()

    def named() -> dict[str, Any] | None:
        answer = mesh.process(camera, photo)
        return answer if answer["summary"]["identified_persons"] else None

    answer: dict[str, Any] = wait_for(named, PATIENCE, f"{grace} is not recognised")
    return answer


def test_the_specification_s_request_is_answered_with_the_enrolled_name(
    recognised: dict[str, Any], grace: str, sample: Sample
) -> None:
    answer = recognised

    assert answer["status"] == "success"
    [face] = answer["detections"]
    assert face["person"]["person_id"] == grace
    assert face["person"]["name"] == sample.person_name
    assert face["metadata"]["decision"]["reason"] == "matched"
    assert answer["summary"]["identified_persons"] == 1
    assert answer["model_info"]["detection_model"]["model_id"] == "dlib-hog-5pt"
    assert answer["processing_info"]["camera_name"] == "Main Entrance"


@pytest.mark.usefixtures("recognised")
def test_a_stranger_stays_unknown(mesh: Mesh, camera: str, grace: str, astronaut: bytes) -> None:
    answer = mesh.process(camera, astronaut)

    [face] = answer["detections"]
    assert face["person"] is None
    assert face["metadata"]["decision"]["reason"] == "below_threshold"
    assert face["metadata"]["decision"]["candidates"][0]["person_id"] == grace


@pytest.mark.usefixtures("recognised")
def test_what_was_answered_is_read_again_with_its_snapshot(
    mesh: Mesh, camera: str, grace: str, sample: Sample
) -> None:
    [face] = mesh.process(camera, sample.portrait.read_bytes())["detections"]

    path = f"/detections/{face['detection_id']}"
    shown: httpx2.Response = wait_for(partial(found, mesh, path), PATIENCE, "not stored")
    kept: httpx2.Response = wait_for(
        partial(found, mesh, f"{path}/snapshot"), PATIENCE, "no snapshot"
    )

    assert shown.json()["detection"]["person"]["person_id"] == grace
    assert kept.content.startswith(b"\xff\xd8")
    listed = mesh.get("/detections", camera_id=camera, person_id=grace)["detections"]
    assert face["detection_id"] in {item["detection_id"] for item in listed}


def test_a_repeated_frame_id_is_a_duplicate_with_the_first_result(
    mesh: Mesh, camera: str, astronaut: bytes
) -> None:
    def repeated() -> tuple[dict[str, Any], dict[str, Any]] | None:
        began = time.monotonic()
        request, first = mesh.push(camera, astronaut)
        again = mesh.post("/detections/process-frame", request)
        return (first.json(), again) if time.monotonic() - began < REMEMBERED else None

    first, again = wait_for(repeated, 2 * PATIENCE, "the mesh forgets before it answers")

    assert again["status"] == "duplicate"
    assert first["detections"][0]["detection_id"] in str(again)


def test_a_picture_without_faces_is_a_success(mesh: Mesh, camera: str) -> None:
    grey = jpeg(np.full((240, 320, 3), 128, np.uint8))

    answer = mesh.process(camera, grey)

    assert answer["status"] == "success"
    assert answer["message"] == "No faces detected in frame"
    assert answer["detections"] == []


def test_an_unreadable_picture_is_answered_failed(
    mesh: Mesh, camera: str, astronaut: bytes
) -> None:
    half = astronaut[: len(astronaut) // 3]

    _, answer = mesh.push(camera, half)

    assert answer.status_code == 422
    assert answer.json()["status"] == "error"
    assert answer.json()["error"]["code"]


def ended(mesh: Mesh, url: str) -> httpx2.Response | None:
    """What became of a request that was accepted, once that is known."""
    answer = mesh.http.get(url)
    return None if answer.status_code in {202, *BUSY} else answer


def test_a_photo_with_nobody_is_refused_by_name(mesh: Mesh) -> None:
    photo = base64.b64encode(jpeg(np.full((240, 320, 3), 128, np.uint8))).decode()

    body = {"name": "A", "consent": CONSENT, "image": photo}

    def taken() -> httpx2.Response | None:
        told = mesh.http.post("/persons", json=body)
        return None if told.status_code in BUSY else told

    answer = wait_for(taken, PATIENCE, "the photo is not taken")
    if answer.status_code == 202:
        url = answer.json()["url"].removeprefix("/api/v1")
        answer = wait_for(lambda: ended(mesh, url), PATIENCE, "silent")

    assert "no_face" in answer.text
