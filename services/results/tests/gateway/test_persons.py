"""Persons over HTTP: enrolment is a frame, changes are commands."""

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mesh.events import (
    Answer,
    DeleteFace,
    EnrolledFace,
    EnrollmentOutcome,
    ErasePerson,
    FrameCaptured,
    Purpose,
    Rejection,
    UpdatePerson,
)
from mesh.testing import (
    NOON,
    PERSON_ID,
    a_frame_captured,
    a_frame_header,
    a_frame_result,
    a_person,
    a_quality,
    a_result_detection,
)
from results.adapters.http_person_models import ConsentBody
from results.domain.queries import StoredDetection
from results.domain.rendering import SnapshotLink

from .conftest import World, a_picture

PATH = "/api/v1/persons"
CONSENT = {"consent_type": "face_recognition", "status": "granted"}
FACE_ID = "face_00000000-0000-4000-8000-000000000001"


def a_body(**changes: Any) -> dict[str, Any]:
    photo = base64.b64encode(a_picture()).decode()
    return {"name": "Grace Hopper", "image": photo, "consent": CONSENT} | changes


def enrolled(frame: FrameCaptured, **changes: Any) -> Answer:
    assert frame.request is not None
    assert frame.request.enrollment is not None
    outcome = EnrollmentOutcome(
        person_id=frame.request.enrollment.person_id,
        face_id=frame.request.enrollment.face_id,
        accepted=True,
        quality=a_quality(),
        face_count=1,
    )
    values: dict[str, Any] = {
        "request_id": frame.request.request_id,
        "kind": "enrollment",
        "status": "success",
        "message": "enrolled",
        "enrollment": outcome,
        "answered_at": NOON,
    }
    return Answer(**values | changes)


def done(command: Any, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "request_id": command.request_id,
        "kind": "command",
        "status": "success",
        "message": "done",
        "answered_at": NOON,
    }
    return Answer(**values | changes)


async def call(
    world: World, method: str, path: str = PATH, role: str = "admin", **more: Any
) -> tuple[int, Any]:
    async with world.client(role) as client:
        response = await client.request(method, path, **more)
        return response.status_code, response.json()


async def test_a_photo_enrols_a_new_person(world: World) -> None:
    world.answer = enrolled
    status, body = await call(world, "POST", json=a_body(employee_id="EMP-1"))
    frame: FrameCaptured = world.sent("frames.request")[0]
    assert status == 201
    assert body["status"] == "success"
    assert body["face_count"] == 1
    assert frame.frame.purpose is Purpose.ENROLLMENT
    assert frame.request is not None
    person = frame.request.enrollment
    assert person is not None
    assert (person.name, person.employee_id, person.requested_by) == (
        "Grace Hopper", "EMP-1", "tester",
    )  # fmt: skip
    assert person.person_id == body["person_id"]
    assert person.face_id == body["face_id"]
    assert frame.frame.camera_name == "gateway gateway-1"


async def test_a_photo_may_come_as_a_form(world: World) -> None:
    world.answer = enrolled
    status, body = await call(
        world, "POST",
        data={"name": "Grace", "consent": '{"status": "granted"}'},
        files={"image": ("grace.jpg", a_picture(), "image/jpeg")},
    )  # fmt: skip
    assert (status, body["name"]) == (201, "Grace")
    assert world.sent("frames.request")[0].image == a_picture()


async def test_a_person_can_be_registered_without_a_photo(world: World) -> None:
    world.answer_command = done
    status, body = await call(world, "POST", json={"name": "Grace"})
    (command,) = world.sent("gallery.commands")
    assert status == 201
    assert isinstance(command, UpdatePerson)
    assert command.create
    assert (command.name, command.person_id) == ("Grace", body["person_id"])
    assert world.publisher.published[0].key == body["person_id"]


async def test_a_slow_answer_can_be_asked_for_again(world: World) -> None:
    world.answer = lambda _: None
    status, body = await call(world, "POST", json=a_body())
    assert (status, body["status"]) == (202, "accepted")
    status, waiting = await call(world, "GET", body["url"])
    assert (status, waiting["request_id"]) == (202, body["request_id"])
    world.deps.answers.deliver(enrolled(world.sent("frames.request")[0]))
    status, outcome = await call(world, "GET", body["url"])
    assert (status, outcome["status"]) == (200, "success")
    assert outcome["accepted"] is True


async def test_a_late_rejection_is_the_same_error(world: World) -> None:
    world.answer = lambda _: None
    _, body = await call(world, "POST", json=a_body())
    frame = world.sent("frames.request")[0]
    late = enrolled(
        frame, status="rejected", code="PERSON_EXISTS", message="This face is known.",
        enrollment=None,
    )  # fmt: skip
    world.deps.answers.deliver(late)
    status, outcome = await call(world, "GET", body["url"])
    error = outcome["error"]
    assert (status, error["code"], error["field"]) == (409, "PERSON_EXISTS", "image")
    assert error["limit"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("QUALITY_REJECTED", 422),
        ("PERSON_EXISTS", 409),
        ("PERSON_NOT_FOUND", 404),
        ("CONSENT_REQUIRED", 422),
    ],
)
async def test_a_rejected_photo_says_what_was_measured_and_the_limit(
    world: World, code: str, status: int
) -> None:
    rejection = Rejection(
        reason="blurry", field="sharpness", value=12.5, limit=50.0, message="too blurry"
    )

    def rejected(frame: FrameCaptured) -> Answer:
        fine = enrolled(frame)
        assert fine.enrollment is not None
        outcome = replace(fine.enrollment, accepted=False, rejections=(rejection,))
        return replace(
            fine, status="rejected", code=code, message="The photo is blurry.", enrollment=outcome
        )

    world.answer = rejected
    answered, body = await call(world, "POST", json=a_body())
    error = body["error"]
    assert (answered, error["code"]) == (status, code)
    assert (error["field"], error["value"], error["limit"]) == ("sharpness", 12.5, 50.0)
    assert error["reason"] == "blurry"
    assert error["rejections"][0]["message"] == "too blurry"


@pytest.mark.parametrize(
    "consent",
    [
        None,
        CONSENT | {"status": "withdrawn"},
        CONSENT | {"expires_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_nobody_is_enrolled_without_consent(world: World, consent: Any) -> None:
    status, body = await call(world, "POST", json=a_body(consent=consent))
    error = body["error"]
    assert (status, error["code"]) == (422, "CONSENT_REQUIRED")
    assert error["field"].startswith("consent")
    assert error["limit"]
    assert world.publisher.published == []


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"image": ""}, 422, "IMAGE_MISSING", "image"),
        ({"image": "%%"}, 422, "INVALID_BASE64", "image"),
        ({"image": "R0lGODlh"}, 422, "IMAGE_FORMAT_UNSUPPORTED", "image"),
        ({"name": ""}, 422, "TOO_SHORT", "name"),
        ({"nick": "x"}, 422, "UNKNOWN_FIELD", "nick"),
        ({"consent": {"status": "maybe"}}, 422, "VALUE_NOT_ALLOWED", "consent.status"),
        ({"consent": "yes"}, 422, "INVALID_TYPE", "consent"),
        ({"collection": "A B"}, 422, "INVALID_FORMAT", "collection"),
        ({"detection_id": "det_1"}, 422, "INVALID_ID", "detection_id"),
        (
            {"detection_id": "det_00000000-0000-4000-8000-000000000009"},
            422, "AMBIGUOUS", "detection_id",
        ),
        (
            {"detection_id": "det_00000000-0000-4000-8000-000000000009", "image": None},
            404, "DETECTION_NOT_FOUND", "detection_id",
        ),
    ],
)  # fmt: skip
async def test_a_bad_enrolment_is_refused_by_field(
    world: World, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    answered, body = await call(world, "POST", json=a_body(**changes))
    error = body["error"]
    assert (answered, error["code"], error["field"]) == (status, code, field)
    assert error["limit"] is not None


async def test_other_bodies_are_refused(world: World) -> None:
    status, body = await call(world, "POST", content=b"x", headers={"Content-Type": "text/plain"})
    assert (status, body["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    status, body = await call(
        world, "POST", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (status, body["error"]["code"]) == (400, "INVALID_JSON")
    status, body = await call(world, "POST", data={"name": "x"}, files={"other": b"x"})
    assert (status, body["error"]["field"]) == (422, "other")


def a_detection() -> StoredDetection:
    item = a_result_detection()
    return StoredDetection(
        detection=item, frame=a_frame_header(), models=(), stages=(), created_at=NOON,
        snapshot=SnapshotLink(detection_id=item.detection_id, sha256="ab" * 32),
    )  # fmt: skip


async def test_a_click_on_a_stored_face_enrols_its_snapshot(world: World) -> None:
    world.answer = enrolled
    chip = a_picture(112, 112)
    world.results.stored.append(a_detection())
    world.snapshots["ab" * 32] = chip
    detection_id = a_result_detection().detection_id
    status, _ = await call(world, "POST", json=a_body(image=None, detection_id=detection_id))
    assert status == 201
    assert world.sent("frames.request")[0].image == chip


async def test_a_click_on_a_live_face_cuts_it_out_of_the_recent_frame(world: World) -> None:
    world.answer = enrolled
    result = a_frame_result()
    world.deps.state.add_result(result)
    world.deps.pictures.watch([result.frame.camera_id])
    world.deps.pictures.add(a_frame_captured(frame=result.frame, image=a_picture(640, 360)))
    detection_id = result.detections[0].detection_id
    path = f"{PATH}/{PERSON_ID}/faces"
    status, body = await call(world, "POST", path, json={"detection_id": detection_id})
    frame: FrameCaptured = world.sent("frames.request")[0]
    assert (status, body["person_id"]) == (201, PERSON_ID)
    # The box is 100 to 200 in both directions, with 60 % of room on each side.
    assert (frame.frame.width, frame.frame.height) == (221, 221)
    assert frame.request is not None
    assert frame.request.enrollment is not None
    assert frame.request.enrollment.name == "Ada Lovelace"
    assert frame.request.enrollment.consent == a_person().consent


async def test_a_face_whose_picture_is_gone_cannot_be_enrolled(world: World) -> None:
    world.results.stored.append(a_detection())
    status, body = await call(
        world, "POST", f"{PATH}/{PERSON_ID}/faces",
        json={"detection_id": a_result_detection().detection_id},
    )  # fmt: skip
    assert (status, body["error"]["code"]) == (404, "PICTURE_OF_THIS_DETECTION_NOT_FOUND")


async def test_a_sample_needs_a_picture_and_a_known_person(world: World) -> None:
    status, body = await call(world, "POST", f"{PATH}/{PERSON_ID}/faces", json={})
    assert (status, body["error"]["code"], body["error"]["field"]) == (
        422, "MISSING_FIELD", "image",
    )  # fmt: skip
    unknown = f"{PATH}/per_00000000-0000-4000-8000-0000000000ff/faces"
    status, body = await call(world, "POST", unknown, json={"image": a_body()["image"]})
    assert (status, body["error"]["code"]) == (404, "PERSON_NOT_FOUND")


async def test_persons_are_shown_listed_and_searched(world: World) -> None:
    status, body = await call(world, "GET", f"{PATH}/{PERSON_ID}", role="viewer")
    assert (status, body["name"], body["consent"]["status"]) == (200, "Ada Lovelace", "granted")
    _, body = await call(world, "GET", PATH, params={"search": "love"})
    assert [person["name"] for person in body["persons"]] == ["Ada Lovelace"]
    _, body = await call(world, "GET", PATH, params={"search": "nobody"})
    assert body["persons"] == []
    status, body = await call(world, "GET", f"{PATH}/per_1")
    assert (status, body["error"]["field"]) == (422, "person_id")


async def test_a_person_is_renamed_and_erased_by_command(world: World) -> None:
    world.answer_command = done
    path = f"{PATH}/{PERSON_ID}"
    status, body = await call(world, "PATCH", path, json={"name": "Ada King"})
    assert (status, body["status"]) == (200, "success")
    status, _ = await call(world, "DELETE", path, params={"reason": "asked for it"})
    assert status == 200
    renamed, erased = world.sent("gallery.commands")
    assert isinstance(renamed, UpdatePerson)
    assert (renamed.name, renamed.department, renamed.create) == ("Ada King", None, False)
    assert isinstance(erased, ErasePerson)
    assert erased.reason == "asked for it"


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, "MISSING_FIELD"), ({"status": "dead"}, "VALUE_NOT_ALLOWED"), ({"x": 1}, "UNKNOWN_FIELD")],
)
async def test_a_bad_change_is_refused(world: World, change: Any, code: str) -> None:
    status, body = await call(world, "PATCH", f"{PATH}/{PERSON_ID}", json=change)
    assert (status, body["error"]["code"]) == (422, code)
    assert body["error"]["limit"]


async def test_a_sample_is_deleted_by_command(world: World) -> None:
    face = EnrolledFace(
        face_id=FACE_ID, enrolled_at=NOON, quality_score=0.9, model_ids=("m",), sha256="0" * 64
    )
    world.persons.known[PERSON_ID] = a_person(faces=(face,))
    world.answer_command = done
    path = f"{PATH}/{PERSON_ID}/faces"
    _, body = await call(world, "GET", path)
    assert [each["face_id"] for each in body["faces"]] == [FACE_ID]
    status, _ = await call(world, "DELETE", f"{path}/{FACE_ID}")
    (command,) = world.sent("gallery.commands")
    assert status == 200
    assert isinstance(command, DeleteFace)
    other = FACE_ID[:-1] + "2"
    status, body = await call(world, "DELETE", f"{path}/{other}")
    assert (status, body["error"]["code"]) == (404, "FACE_NOT_FOUND")


async def test_a_command_that_recognition_refuses_is_refused(world: World) -> None:
    world.answer_command = lambda command: done(
        command, status="rejected", code="PERSON_NOT_FOUND", message="erased meanwhile"
    )
    status, body = await call(world, "PATCH", f"{PATH}/{PERSON_ID}", json={"name": "x"})
    assert (status, body["error"]["code"]) == (404, "PERSON_NOT_FOUND")


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "given", "kept"),
    [
        ("granted", None, NOON),
        ("granted", NOON - HOUR, NOON - HOUR),
        ("granted", NOON + HOUR, NOON),
        ("withdrawn", NOON - HOUR, NOON),
    ],
)
def test_a_consent_is_never_newer_than_now_and_a_withdrawal_is_never_older(
    status: str, given: datetime | None, kept: datetime
) -> None:
    when = given.isoformat() if given else None
    body = ConsentBody.model_validate({"status": status, "granted_at": when})

    assert body.event(NOON).granted_at == kept
