"""How fit a face is for recognition: measures, one score, and the floor with named rejections."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detection.domain.face import GreyFace, RawFace
from detection.domain.geometry import area, shorter_side
from detection.domain.utility import signs, utility, weights_for
from mesh.events import FaceQuality, Pose, Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPolicy:
    """The floor below which a face is not recognised.

    The floor is separate from the limits of a camera or a request (`FaceFilter`): those leave a
    face out, these report it as unfit and say why.
    """

    min_face_size: float = 32.0
    """Of the shorter side of the box, pixels; below, embedders guess."""
    min_sharpness: float = 12.0
    """Variance of the Laplacian at 112 x 112. LFW: median 72, 1 % below 19; the same pictures
    blurred with sigma 2 px: median 8; sharp faces of 38 px enlarged: median 32, 1 % below 12."""
    min_brightness: float = 40.0
    """Mean grey level, 0 to 255."""
    max_brightness: float = 220.0
    """Mean grey level, 0 to 255."""
    min_confidence: float = 0.6
    """Of the detector."""
    max_yaw: float = 60.0
    """Degrees to either side."""
    max_pitch: float = 50.0
    """Degrees up or down."""


def sharpness(grey: GreyFace) -> float:
    """Variance of the Laplacian (4-neighbour kernel) of the inner pixels; 0 and up."""
    levels = grey.astype(np.float64)
    laplacian = (
        levels[:-2, 1:-1]
        + levels[2:, 1:-1]
        + levels[1:-1, :-2]
        + levels[1:-1, 2:]
        - 4.0 * levels[1:-1, 1:-1]
    )
    return float(laplacian.var())


def measure(
    grey: GreyFace,
    face: RawFace,
    pose: Pose,
    policy: QualityPolicy,
    *,
    visible: float = 1.0,
    detector: str | None = None,
) -> FaceQuality:
    """The quality of a face; the score is the probability that recognition knows it (`utility`).

    Args:
        grey: the face at 112 x 112.
        face: box, within the picture, and confidence.
        pose: of the head.
        policy: limits.
        visible: how much of the face and its margin the picture shows, 0 to 1.
        detector: model_id of what found the face, as confidences of detectors differ.
    """
    sharp, bright = sharpness(grey), float(grey.mean())
    found = signs(
        confidence=face.confidence, sharpness=sharp, brightness=bright, pose=pose, detector=detector
    )
    return FaceQuality(
        score=utility(found, weights_for(detector), sharpness=sharp, visible=visible),
        sharpness=sharp,
        brightness=bright,
        is_blurry=sharp < policy.min_sharpness,
        face_size_pixels=round(area(face.box)),
    )


def rejections(
    face: RawFace, quality: FaceQuality, pose: Pose, policy: QualityPolicy
) -> tuple[Rejection, ...]:
    """Every limit that the face misses, with the measured value; empty if it is fit."""
    return tuple(_rejections(face, quality, pose, policy))


def _rejections(
    face: RawFace, quality: FaceQuality, pose: Pose, policy: QualityPolicy
) -> Iterator[Rejection]:
    size = shorter_side(face.box)
    yield from _below("too_small", "face_size", size, policy.min_face_size, "pixels")
    yield from _below("blurry", "sharpness", quality.sharpness, policy.min_sharpness, "")
    yield from _below("too_dark", "brightness", quality.brightness, policy.min_brightness, "")
    yield from _above("too_bright", "brightness", quality.brightness, policy.max_brightness, "")
    yield from _below("low_confidence", "confidence", face.confidence, policy.min_confidence, "")
    yield from _above("extreme_pose", "yaw", abs(pose.yaw), policy.max_yaw, "degrees")
    yield from _above("extreme_pose", "pitch", abs(pose.pitch), policy.max_pitch, "degrees")


def _below(reason: str, field: str, value: float, limit: float, unit: str) -> Iterator[Rejection]:
    if value < limit:
        yield _rejection(reason, field, value, limit, f"below the limit of {limit:g} {unit}")


def _above(reason: str, field: str, value: float, limit: float, unit: str) -> Iterator[Rejection]:
    if value > limit:
        yield _rejection(reason, field, value, limit, f"above the limit of {limit:g} {unit}")


def _rejection(reason: str, field: str, value: float, limit: float, miss: str) -> Rejection:
    name = field.replace("_", " ")
    return Rejection(
        reason=reason,
        field=field,
        value=value,
        limit=limit,
        message=f"The {name} of the face is {value:.3g}, {miss.strip()}.",
    )
