"""Enrolment: what a photo must be, and what consent must say, before a face is remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mesh.events import Consent, DetectedFace, Rejection

GRANTED = "granted"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentPolicy:
    """What a face must reach to be enrolled; stricter than what recognition needs."""

    min_face_side: float = 48.0
    """Shorter side of the box, pixels."""
    min_sharpness: float = 15.0
    """Variance of the Laplacian at 112 x 112."""
    min_brightness: float = 40.0
    """Mean grey level, 0 to 255."""
    max_brightness: float = 220.0
    """Mean grey level, 0 to 255."""
    max_yaw: float = 45.0
    """Degrees to either side, where the pose is known."""


def photo_problems(
    faces: Sequence[DetectedFace], policy: EnrollmentPolicy
) -> tuple[Rejection, ...]:
    """Why the photo cannot be enrolled, with measured values and limits; empty if it can."""
    if not faces:
        message = (
            "The photo shows no face that is found: it must be turned to the camera "
            f"and at least {policy.min_face_side:g} pixels wide and high."
        )
        return (_counted("no_face", 0, message),)
    if len(faces) > 1:
        message = f"The photo shows {len(faces)} faces; it must show one."
        return (_counted("several_faces", len(faces), message),)
    face = faces[0]
    own = _face_problems(face, policy)
    named = {rejection.reason for rejection in face.rejections}
    return (*face.rejections, *(problem for problem in own if problem.reason not in named))


def consent_problem(offered: Consent, recorded: Consent | None, now: datetime) -> str | None:
    """Why biometric data may not be stored, as a sentence; nothing if it may.

    A withdrawal stands until a consent that was given after it.
    """
    withdrawn = recorded is not None and recorded.status != GRANTED
    if recorded is not None and withdrawn and offered.granted_at <= recorded.granted_at:
        return "The person's consent was withdrawn."
    return consent_lapse(offered, now)


def consent_lapse(consent: Consent | None, now: datetime) -> str | None:
    """Why a consent does not hold at this time, as a sentence; nothing if it holds."""
    if consent is None:
        return "No consent is recorded."
    if consent.status != GRANTED:
        return f"The consent's status is {consent.status}, not {GRANTED}."
    if consent.expires_at is not None and consent.expires_at <= now:
        return f"The consent expired at {consent.expires_at.isoformat()}."
    return None


def _counted(reason: str, count: int, message: str) -> Rejection:
    return Rejection(
        reason=reason, field="face_count", value=float(count), limit=1.0, message=message
    )


def _face_problems(face: DetectedFace, policy: EnrollmentPolicy) -> list[Rejection]:
    side = min(face.box.x2 - face.box.x1, face.box.y2 - face.box.y1)
    quality = face.quality
    problems = [
        _below("too_small", "face_side_pixels", side, policy.min_face_side),
        _below("blurry", "sharpness", quality.sharpness, policy.min_sharpness),
        _below("too_dark", "brightness", quality.brightness, policy.min_brightness),
        _above("too_bright", "brightness", quality.brightness, policy.max_brightness),
    ]
    if face.pose is not None:
        problems.append(_above("extreme_pose", "yaw", abs(face.pose.yaw), policy.max_yaw))
    return [problem for problem in problems if problem is not None]


def _below(reason: str, field: str, value: float, limit: float) -> Rejection | None:
    return _missed(reason, field, value, limit, "at least") if value < limit else None


def _above(reason: str, field: str, value: float, limit: float) -> Rejection | None:
    return _missed(reason, field, value, limit, "at most") if value > limit else None


def _missed(reason: str, field: str, value: float, limit: float, must: str) -> Rejection:
    message = f"{field} is {value:.1f}; it must be {must} {limit:g}."
    return Rejection(reason=reason, field=field, value=value, limit=limit, message=message)
