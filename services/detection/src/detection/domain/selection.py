"""Which faces of a frame are reported at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from detection.domain.face import RawFace
from detection.domain.geometry import area, clip_box, shorter_side
from mesh.events import DetectionConfig, FrameCaptured, Purpose, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFilter:
    """Faces that miss a limit are left out, not rejected."""

    min_confidence: float
    """0 to 1."""
    min_face_size: float
    """Of the shorter side, pixels."""
    max_faces: int
    """The largest are kept."""


def face_filter(event: FrameCaptured) -> FaceFilter:
    """The limits of a frame: what the request says, else what the camera says.

    The photo of an enrolment has no size limit: a face too small to enrol must be answered with
    its size, not with "no face".
    """
    camera, request = event.detection, event.request
    limits = _camera_filter(camera) if request is None else _request_filter(camera, request)
    if event.frame.purpose is Purpose.ENROLLMENT:
        return replace(limits, min_face_size=0.0)
    return limits


def wants_faces(event: FrameCaptured) -> bool:
    """Whether faces are looked for: a camera may be there for other tasks alone."""
    return event.request is not None or "face" in event.detection.tasks


def select_faces(
    faces: Sequence[RawFace], limits: FaceFilter, *, width: int, height: int
) -> list[RawFace]:
    """The faces within the limits, boxes clipped to the picture, largest first."""
    clipped = (_clip(face, width=width, height=height) for face in faces)
    fit = [
        face
        for face in clipped
        if face is not None
        and face.confidence >= limits.min_confidence
        and shorter_side(face.box) >= limits.min_face_size
    ]
    fit.sort(key=lambda face: (-area(face.box), face.box.x1, face.box.y1))
    return fit[: limits.max_faces]


def _clip(face: RawFace, *, width: int, height: int) -> RawFace | None:
    box = clip_box(face.box, width=width, height=height)
    return None if box is None else replace(face, box=box)


def _camera_filter(camera: DetectionConfig) -> FaceFilter:
    return FaceFilter(
        min_confidence=camera.confidence_threshold,
        min_face_size=camera.min_face_size,
        max_faces=camera.max_faces_per_frame,
    )


def _request_filter(camera: DetectionConfig, request: Request) -> FaceFilter:
    limits = _camera_filter(camera)
    if request.min_confidence is not None:
        limits = replace(limits, min_confidence=request.min_confidence)
    if request.min_face_size is not None:
        limits = replace(limits, min_face_size=request.min_face_size)
    if request.max_faces is not None:
        limits = replace(limits, max_faces=request.max_faces)
    return limits
