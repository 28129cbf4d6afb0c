from dataclasses import replace
from datetime import timedelta

import pytest

from mesh.events import BoundingBox, Consent, DetectedFace, Pose, Rejection
from mesh.testing import NOON, a_detected_face, a_quality
from recognition.domain.enrollment import (
    EnrollmentPolicy,
    consent_lapse,
    consent_problem,
    photo_problems,
)

POLICY = EnrollmentPolicy()
CONSENT = Consent(consent_type="face_recognition", status="granted", granted_at=NOON)
WITHDRAWN = replace(CONSENT, status="withdrawn", granted_at=NOON + timedelta(days=1))
LATER = NOON + timedelta(days=2)


def test_a_fit_face_alone_is_welcome() -> None:
    assert photo_problems([a_detected_face()], POLICY) == ()


@pytest.mark.parametrize(
    ("faces", "reason", "count"),
    [([], "no_face", 0), ([a_detected_face(), a_detected_face(index=1)], "several_faces", 2)],
)
def test_a_photo_must_show_one_face(faces: list[DetectedFace], reason: str, count: int) -> None:
    (problem,) = photo_problems(faces, POLICY)
    assert (problem.reason, problem.value, problem.limit) == (reason, count, 1)


def test_who_sent_a_face_that_was_not_found_hears_how_large_it_must_be() -> None:
    (problem,) = photo_problems([], EnrollmentPolicy(min_face_side=64.0))
    assert "turned to the camera and at least 64 pixels" in problem.message


@pytest.mark.parametrize(
    ("face", "reason", "value", "limit"),
    [
        (a_detected_face(box=BoundingBox(x1=0, y1=0, x2=90, y2=20)), "too_small", 20, 48),
        (a_detected_face(quality=a_quality(sharpness=3.0)), "blurry", 3, 15),
        (a_detected_face(quality=a_quality(brightness=9.0)), "too_dark", 9, 40),
        (a_detected_face(quality=a_quality(brightness=250.0)), "too_bright", 250, 220),
        (a_detected_face(pose=Pose(yaw=-70, pitch=0, roll=0)), "extreme_pose", 70, 45),
    ],
)
def test_an_unfit_face_is_refused_with_measure_and_limit(
    face: DetectedFace, reason: str, value: float, limit: float
) -> None:
    (problem,) = photo_problems([face], POLICY)
    assert (problem.reason, problem.value, problem.limit) == (reason, value, limit)
    assert f"{limit:g}" in problem.message


def test_what_detection_rejected_is_said_once() -> None:
    seen = Rejection(reason="blurry", field="sharpness", value=3.0, limit=12.0, message="Blurry.")
    face = a_detected_face(quality=a_quality(sharpness=3.0), rejections=(seen,))
    assert photo_problems([face], POLICY) == (seen,)


@pytest.mark.parametrize(
    ("offered", "recorded", "problem"),
    [
        (CONSENT, None, None),
        (replace(CONSENT, status="withdrawn"), None, "status is withdrawn"),
        (replace(CONSENT, expires_at=LATER), None, "expired at 2026-01-03"),
        (CONSENT, WITHDRAWN, "was withdrawn"),
        (replace(CONSENT, granted_at=LATER), WITHDRAWN, None),
        (CONSENT, CONSENT, None),
    ],
)
def test_consent_must_be_in_force(
    offered: Consent, recorded: Consent | None, problem: str | None
) -> None:
    said = consent_problem(offered, recorded, LATER)
    assert (said is None) if problem is None else (said is not None and problem in said)


def test_no_consent_is_no_consent() -> None:
    assert consent_lapse(None, NOON) == "No consent is recorded."
