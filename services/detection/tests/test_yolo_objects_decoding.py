"""Outputs of YOLO v8 to v12 exports for objects, made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.domain.letterbox import Letterbox
from detection.domain.thing import RawObject
from detection.domain.yolo_objects import decode

CLASSES = ("person", "car", "dog")
HALF = Letterbox(scale=0.5, content_width=320, content_height=240, width=640, height=640)


def found(values: NDArray[np.float32]) -> list[RawObject]:
    return decode(values, HALF, classes=CLASSES, confidence=0.25, overlap=0.45)


def cells(*columns: tuple[float, ...]) -> NDArray[np.float32]:
    """Channels by cells, as v8 puts them out; the rest of the cells see nothing."""
    values = np.zeros((4 + len(CLASSES), 100), np.float32)
    for place, column in enumerate(columns):
        values[:, 7 * place] = column
    return values


def boxes(things: list[RawObject]) -> list[tuple[float, float, float, float]]:
    return [(thing.box.x1, thing.box.y1, thing.box.x2, thing.box.y2) for thing in things]


def test_cells_give_boxes_in_the_picture_the_most_confident_first() -> None:
    things = found(cells((60, 40, 20, 40, 0.5, 0, 0), (200, 100, 10, 10, 0.1, 0.9, 0.2)))

    assert [thing.class_name for thing in things] == ["car", "person"]
    assert [thing.confidence for thing in things] == pytest.approx([0.9, 0.5])
    assert boxes(things) == [(390, 190, 410, 210), (100, 40, 140, 120)]


def test_what_is_not_confident_enough_is_left_out() -> None:
    assert found(cells((60, 40, 20, 40, 0.24, 0, 0))) == []


def test_a_weaker_box_of_the_same_class_is_dropped_and_one_of_another_stays() -> None:
    same, other = (61, 40, 20, 40, 0.6, 0, 0), (61, 40, 20, 40, 0, 0, 0.5)
    things = found(cells((60, 40, 20, 40, 0.8, 0, 0), same, other))
    assert [thing.class_name for thing in things] == ["person", "dog"]


def test_boxes_that_the_network_chose_are_taken_as_they_are() -> None:
    values = np.zeros((300, 6), np.float32)
    values[:2] = [(50, 20, 70, 60, 0.5, 0), (195, 95, 205, 105, 0.9, 1)]
    things = found(values)
    assert [thing.class_name for thing in things] == ["car", "person"]
    assert boxes(things) == [(390, 190, 410, 210), (100, 40, 140, 120)]


def test_outputs_of_another_network_are_refused() -> None:
    for shape in ((84, 100), (300, 7), (7,)):
        with pytest.raises(KeyError, match="7 channels or rows of 6"):
            found(np.zeros(shape, np.float32))
    with pytest.raises(KeyError, match="a class from 0 to 2, found 0 to 79"):
        found(np.array([(0, 0, 1, 1, 0.9, 79), (0, 0, 1, 1, 0.9, 0)], np.float32))
