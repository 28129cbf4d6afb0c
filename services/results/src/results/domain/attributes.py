"""What further models say of a face or a person, as clients read it and tables keep it."""

from collections.abc import Mapping
from typing import Any

from mesh.events import Activity, FaceAttributes, Point

_SIDES = ("left", "right")
_PAIRS = {
    "eye_openness": "eye_openness",
    "eye_blink": "eye_blink",
    "eye_open": "eye_open_probability",
}
"""Values of each eye, and what they are shown as."""
_CONTOURS = ("left_eye_contour", "right_eye_contour", "mouth_contour")


def render_attributes(attributes: FaceAttributes) -> dict[str, Any]:
    """The values that a model gave; those that nobody asked for are left out.

    Left and right are the person's; contours are points in pixels of the frame.
    """
    shown: dict[str, Any] = {}
    for name, title in _PAIRS.items():
        eyes = {side: getattr(attributes, f"{side}_{name}") for side in _SIDES}
        shown[title] = _rounded(eyes) or None
    shown |= _rounded({name: getattr(attributes, name) for name in ("mouth_openness", "smile")})
    if attributes.liveness is not None:
        judged = attributes.liveness
        shown["liveness"] = {"score": round(judged.score, 4), "model_id": judged.model_id}
    if attributes.age_gender is not None:
        seen = attributes.age_gender
        shown["age_gender"] = {
            "age_group": seen.age_group,
            "gender": seen.gender,
            "gender_confidence": round(seen.gender_confidence, 4),
            "model_id": seen.model_id,
        }
    contours = {name.removesuffix("_contour"): getattr(attributes, name) for name in _CONTOURS}
    drawn = {name: points_of(points) for name, points in contours.items() if points}
    shown["contours"] = drawn or None
    return {name: value for name, value in shown.items() if value is not None}


def render_activity(activity: Activity) -> dict[str, Any]:
    """What somebody seems to do, and by which rule."""
    return {
        "name": activity.name,
        "score": round(activity.score, 4),
        "model_id": activity.model_id,
    }


def kept(attributes: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The plain values that tables keep: all but the contours, which are large."""
    if attributes is None:
        return None
    return {
        name: value
        for name, value in attributes.items()
        if value is not None and name not in _CONTOURS
    }


def points_of(points: tuple[Point, ...]) -> list[list[float]]:
    """Points as pairs, in tenths of a pixel."""
    return [[round(point.x, 1), round(point.y, 1)] for point in points]


def _rounded(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if value is not None}
