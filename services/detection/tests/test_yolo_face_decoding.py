import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.domain.letterbox import fit
from detection.domain.yolo_face import decode

BOX = fit(1280, 720, 640)


def output(cells: int = 50, per_point: int = 3) -> NDArray[np.float32]:
    return np.zeros((5 + 5 * per_point, cells), np.float32)


def say(values: NDArray[np.float32], cell: int, *, x: float, y: float, score: float) -> None:
    per_point = (len(values) - 5) // 5
    values[:5, cell] = [x, y, 40, 60, score]
    for index, (dx, dy) in enumerate(((-8, -8), (8, -8), (0, 0), (-6, 9), (6, 9))):
        values[5 + index * per_point : 7 + index * per_point, cell] = [x + dx, y + dy]


def test_a_silent_network_has_seen_nothing() -> None:
    assert decode({"output0": output()}, BOX, confidence=0.4, overlap=0.45) == []


@given(st.sampled_from([2, 3]), st.integers(0, 49), st.integers(40, 600), st.integers(40, 300))
def test_a_cell_is_decoded_to_the_face_it_predicts(
    per_point: int, cell: int, x: int, y: int
) -> None:
    values = output(per_point=per_point)
    say(values, cell, x=x, y=y, score=0.75)
    (face,) = decode({"output0": values}, BOX, confidence=0.4, overlap=0.45)
    corners = (face.box.x1, face.box.y1, face.box.x2, face.box.y2)
    assert corners == (2 * (x - 20), 2 * (y - 30), 2 * (x + 20), 2 * (y + 30))
    assert face.confidence == 0.75
    assert (face.landmarks[1].x, face.landmarks[1].y) == (2 * (x + 8), 2 * (y - 8))
    assert (face.landmarks[4].x, face.landmarks[4].y) == (2 * (x + 6), 2 * (y + 9))


def test_the_best_of_a_place_comes_first_and_alone() -> None:
    values = output()
    say(values, 1, x=100, y=100, score=0.6)
    say(values, 2, x=102, y=101, score=0.8)
    say(values, 3, x=400, y=200, score=0.7)
    faces = decode({"output0": values}, BOX, confidence=0.4, overlap=0.45)
    assert [round(face.confidence, 1) for face in faces] == [0.8, 0.7]


@pytest.mark.parametrize(
    "heads",
    [
        {"output0": np.zeros((5, 8400), np.float32)},
        {"output0": np.zeros((84, 8400), np.float32)},
        {"a": np.zeros((20, 5), np.float32), "b": np.zeros((20, 5), np.float32)},
    ],
)
def test_exports_without_landmarks_or_of_other_heads_are_refused(
    heads: dict[str, NDArray[np.float32]],
) -> None:
    with pytest.raises(KeyError, match="channels"):
        decode(heads, BOX, confidence=0.4, overlap=0.45)
