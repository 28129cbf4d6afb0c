import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.domain.letterbox import Letterbox, fit, fit_into
from detection.domain.scrfd import STRIDES, decode

Heads = dict[str, NDArray[np.float32]]


def silent(box: Letterbox, per_cell: int = 2) -> Heads:
    """Outputs of a network that sees nothing, by meaningless names, as stock exports have them."""
    heads = {}
    for head, channels in (("4", 1), ("5", 4), ("6", 10)):
        for stride in STRIDES:
            cells = (box.width // stride) * (box.height // stride)
            heads[f"{head}{stride}"] = np.zeros((cells * per_cell, channels), np.float32)
    return heads


def say(heads: Heads, box: Letterbox, stride: int, anchor: int, *, reach: float = 2) -> None:
    """Let an anchor predict a face that reaches so many cells each way."""
    heads[f"4{stride}"][anchor] = 0.9
    heads[f"5{stride}"][anchor] = reach
    heads[f"6{stride}"][anchor] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]


def test_a_silent_network_has_seen_nothing() -> None:
    box = fit(640, 360, 640)
    assert decode(silent(box), box, confidence=0.5, overlap=0.4) == []


@given(st.sampled_from(STRIDES), st.integers(0, 19), st.integers(0, 11), st.sampled_from([1, 2]))
def test_an_anchor_is_decoded_to_the_face_it_predicts(
    stride: int, column: int, row: int, per_cell: int
) -> None:
    box = fit(1280, 720, 640)
    heads = silent(box, per_cell)
    cell = row * (box.width // stride) + column
    say(heads, box, stride, cell * per_cell + per_cell - 1)
    (face,) = decode(heads, box, confidence=0.5, overlap=0.4)
    x, y, step = 2 * stride * column, 2 * stride * row, 2 * stride
    corners = (face.box.x1, face.box.y1, face.box.x2, face.box.y2)
    assert corners == (x - 2 * step, y - 2 * step, x + 2 * step, y + 2 * step)
    assert face.confidence == pytest.approx(0.9)
    assert [(point.x, point.y) for point in face.landmarks] == [
        (x - step, y - step),
        (x + step, y - step),
        (x, y),
        (x - step, y + step),
        (x + step, y + step),
    ]


def test_a_square_input_is_read_at_its_own_width() -> None:
    box = fit_into(1280, 720, input_width=640, input_height=640)
    heads = silent(box)
    say(heads, box, 8, 2 * (80 * 3 + 5))
    (face,) = decode(heads, box, confidence=0.5, overlap=0.4)
    assert face.landmarks[2].x == 5 * 8 * 2
    assert face.landmarks[2].y == 3 * 8 * 2


def test_the_order_and_the_names_of_the_outputs_do_not_matter() -> None:
    box = fit(640, 640, 640)
    heads = silent(box)
    say(heads, box, 16, 100)
    turned = {f"out{n}": heads[name] for n, name in enumerate(reversed(heads))}
    expected = decode(heads, box, confidence=0.5, overlap=0.4)
    assert decode(turned, box, confidence=0.5, overlap=0.4) == expected


def test_outputs_without_landmarks_or_of_another_size_are_refused() -> None:
    box = fit(640, 640, 640)
    heads = {name: values for name, values in silent(box).items() if name[0] != "6"}
    with pytest.raises(KeyError, match="10 channels"):
        decode(heads, box, confidence=0.5, overlap=0.4)
    with pytest.raises(KeyError, match="cells"):
        decode(silent(fit(160, 80, 640)), box, confidence=0.5, overlap=0.4)
