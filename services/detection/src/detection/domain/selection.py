"""Which faces and objects of a frame are reported at all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from detection.domain.face import RawFace
from detection.domain.geometry import area, clip_box, shorter_side
from detection.domain.thing import RawObject
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


def select_objects(
    objects: Sequence[RawObject],
    classes: frozenset[str],
    event: FrameCaptured,
    *,
    width: int,
    height: int,
    most: int,
) -> list[RawObject]:
    """The objects of these classes that reach the frame's confidence, clipped to the picture.

    Args:
        objects: most confident first; that order stays.
        classes: that are wanted.
        event: the request says how confident, else the camera.
        width: of the picture, pixels.
        height: of the picture, pixels.
        most: objects that are kept.
    """
    least = face_filter(event).min_confidence
    fit = (
        replace(item, box=box)
        for item in objects
        if item.class_name in classes and item.confidence >= least
        for box in [clip_box(item.box, width=width, height=height)]
        if box is not None
    )
    return list(islice(fit, most))


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
