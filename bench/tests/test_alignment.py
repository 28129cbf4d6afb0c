"""Wrong alignment and wrong colour order fail silently: these tests make them loud."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.pathway import Seen
from detection.domain.chip import GRADES, ChipGrade
from detection.domain.face import Picture, RawFace
from mesh.events import BoundingBox, FaceChip, Point
from recognition.adapters.pictures import aligned
from recognition.domain.alignment import TEMPLATES, Template

PEOPLE = "images/krasserm_lfw100"
SWAPPED_SIDES = (1, 0, 2, 4, 3)

Change = Callable[[FaceChip], FaceChip]


class TestFromThePictureToTheTemplate:
    """Five dots, cut, compressed, decoded and warped by the two services, land where they must."""

    @pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda one: one.name)
    @pytest.mark.parametrize("grade", GRADES, ids=lambda one: f"{one.max_side} px")
    @pytest.mark.parametrize(("scale", "degrees"), [(0.8, 0), (1.3, 25), (2.2, -40)])
    def test_landmarks_land_within_a_pixel(
        self, template: Template, grade: ChipGrade, scale: float, degrees: float
    ) -> None:
        points = moved(template, scale, degrees)

        [face], _ = aligned([Seen(dotted(points, scale), around(points)).chip(grade)], template)

        for found, wanted in zip(dots(face, template), template.points, strict=True):
            assert np.hypot(found[0] - wanted[0], found[1] - wanted[1]) < 1.0

    def test_a_channel_stays_what_it_was(self) -> None:
        template = TEMPLATES["arcface-112"]
        points = moved(template, 1.0, 0)
        picture = np.zeros((480, 480, 3), np.uint8)
        picture[:] = (200, 30, 90)

        [face], _ = aligned([Seen(picture, around(points)).chip(GRADES[0])], template)

        assert np.abs(face[40:90, 40:70].mean(axis=(0, 1)) - (200, 30, 90)).max() < 4


def moved(
    template: Template, scale: float, degrees: float
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centred = template.array() - template.array().mean(axis=0)
    moved: np.ndarray[tuple[int, int], np.dtype[np.float64]] = scale * centred @ turn.T + 240.3
    return moved


def dotted(points: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", scale: float) -> Picture:
    """A dark picture with a soft bright dot at each point."""
    rows, columns = np.mgrid[0:480, 0:480]
    light = sum(
        np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (2.0 * scale) ** 2))
        for x, y in points
    )
    picture: Picture = np.repeat((30 + 200 * light)[:, :, None], 3, axis=2).astype(np.uint8)
    return picture


def around(points: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> RawFace:
    """A face with these landmarks; its box is as much larger as a detector's."""
    middle, reach = points.mean(axis=0), np.abs(points - points.mean(axis=0)).max() * 1.6
    (x1, y1), (x2, y2) = middle - reach, middle + reach
    return RawFace(
        box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
        confidence=0.9,
        landmarks=tuple(Point(x=float(x), y=float(y)) for x, y in points),
    )


def dots(face: Picture, template: Template) -> list[tuple[float, float]]:
    """The centre of the light near each point of the template."""
    found = []
    grey = face.mean(axis=2) - 30.0
    for x, y in template.points:
        left, top = round(x) - 8, round(y) - 8
        part = np.clip(grey[top : top + 17, left : left + 17] - 20.0, 0, None)
        rows, columns = np.mgrid[top : top + 17, left : left + 17]
        found.append(
            (
                float((part * columns).sum() / part.sum()),
                float((part * rows).sum() / part.sum()),
            )
        )
    return found
