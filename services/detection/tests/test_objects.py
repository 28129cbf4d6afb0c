"""Objects: what the network says, decoded, and which of it is reported."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.domain.cells import STRIDES, count
from detection.domain.coco import CLASSES, classes_of
from detection.domain.letterbox import fit_into
from detection.domain.selection import select_objects
from detection.domain.thing import RawObject
from detection.domain.yolox import decode
from mesh.events import BoundingBox
from mesh.testing import a_detection_config, a_frame_captured

BOX = fit_into(832, 416, input_width=416, input_height=416)
"""Two pixels of the picture per pixel of the input."""


def silent() -> NDArray[np.float32]:
    return np.zeros((count(416, 416), 85), np.float32)


def say(
    rows: NDArray[np.float32], stride: int, *, column: int, row: int, side: float, kind: str
) -> None:
    """Let a cell see an object of `side` input pixels, centred on the cell's corner."""
    before = sum((416 // s) ** 2 for s in STRIDES if s < stride)
    cell = before + row * (416 // stride) + column
    rows[cell, :4] = [0, 0, np.log(side / stride), np.log(side / stride)]
    rows[cell, 4] = 0.9
    rows[cell, 5 + CLASSES.index(kind)] = 0.8


def read(rows: NDArray[np.float32]) -> list[RawObject]:
    return decode(rows, BOX, classes=CLASSES, confidence=0.25, overlap=0.45)


def an_object(kind: str = "person", *, confidence: float = 0.9, x: float = 0) -> RawObject:
    box = BoundingBox(x1=x, y1=10, x2=x + 40, y2=110)
    return RawObject(box=box, confidence=confidence, class_name=kind)


def test_there_are_eighty_classes() -> None:
    assert len(set(CLASSES)) == len(CLASSES) == 80


def test_a_silent_network_has_seen_nothing() -> None:
    assert read(silent()) == []


@given(st.sampled_from(STRIDES), st.integers(0, 12), st.integers(0, 5), st.sampled_from(CLASSES))
def test_a_cell_is_decoded_to_the_object_it_predicts(
    stride: int, column: int, row: int, kind: str
) -> None:
    rows = silent()
    say(rows, stride, column=column, row=row, side=40, kind=kind)
    (found,) = read(rows)
    x, y = 2 * stride * column, 2 * stride * row
    corners = (found.box.x1, found.box.y1, found.box.x2, found.box.y2)
    assert corners == pytest.approx((x - 40, y - 40, x + 40, y + 40), abs=1e-3)
    assert found.class_name == kind
    assert found.confidence == pytest.approx(0.72)


def test_objects_of_two_classes_may_share_a_place() -> None:
    rows = silent()
    say(rows, 32, column=3, row=3, side=100, kind="person")
    say(rows, 16, column=6, row=6, side=100, kind="bicycle")
    say(rows, 8, column=12, row=12, side=98, kind="person")
    assert [found.class_name for found in read(rows)] == ["person", "bicycle"]


@pytest.mark.parametrize(
    ("tasks", "count"),
    [(("face",), 0), (("person",), 1), (("activity",), 1), (("vehicle",), 5), (("object",), 80)],
)
def test_each_task_looks_for_its_classes(tasks: tuple[str, ...], count: int) -> None:
    assert len(classes_of(tasks)) == count
    assert classes_of(tasks) <= set(CLASSES)


def test_only_wanted_and_confident_objects_are_reported_within_the_picture() -> None:
    found = [an_object(x=-20), an_object("car"), an_object(confidence=0.5), an_object(x=700)]
    event = a_frame_captured(detection=a_detection_config(confidence_threshold=0.6))
    (kept,) = select_objects(found, frozenset({"person"}), event, width=640, height=360, most=10)
    assert kept.box == BoundingBox(x1=0, y1=10, x2=20, y2=110)


def test_no_more_objects_are_reported_than_allowed() -> None:
    found = [an_object(x=20 * n) for n in range(9)]
    kept = select_objects(
        found, frozenset({"person"}), a_frame_captured(), width=640, height=360, most=4
    )
    assert kept == found[:4]
