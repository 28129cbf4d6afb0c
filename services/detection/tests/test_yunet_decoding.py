import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.domain.cells import STRIDES
from detection.domain.letterbox import Letterbox, fit
from detection.domain.yunet import OUTPUTS, decode

Heads = dict[str, NDArray[np.float32]]


def silent(box: Letterbox) -> Heads:
    """Outputs of a network that sees nothing."""
    channels = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    heads = {}
    for name in OUTPUTS:
        head, stride = name.split("_")
        cells = (box.width // int(stride)) * (box.height // int(stride))
        heads[name] = np.zeros((cells, channels[head]), np.float32)
    return heads


def say(
    heads: Heads, box: Letterbox, stride: int, *, column: int, row: int, side: float, score: float
) -> None:
    """Let a cell predict a face of `side` input pixels, centred on the cell's corner."""
    cell = row * (box.width // stride) + column
    heads[f"cls_{stride}"][cell] = heads[f"obj_{stride}"][cell] = score
    heads[f"bbox_{stride}"][cell] = [0, 0, np.log(side / stride), np.log(side / stride)]
    heads[f"kps_{stride}"][cell] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]


def test_a_silent_network_has_seen_nothing() -> None:
    box = fit(640, 360, 640)
    assert decode(silent(box), box, confidence=0.6, overlap=0.3) == []


@given(st.sampled_from(STRIDES), st.integers(0, 19), st.integers(0, 11), st.floats(0.61, 1))
def test_a_cell_is_decoded_to_the_face_it_predicts(
    stride: int, column: int, row: int, score: float
) -> None:
    box = fit(1280, 720, 640)
    heads = silent(box)
    say(heads, box, stride, column=column, row=row, side=40, score=score)
    (face,) = decode(heads, box, confidence=0.6, overlap=0.3)
    centre_x, centre_y = 2 * stride * column, 2 * stride * row
    corners = (face.box.x1, face.box.y1, face.box.x2, face.box.y2)
    assert corners == pytest.approx(
        (centre_x - 40, centre_y - 40, centre_x + 40, centre_y + 40), abs=1e-3
    )
    assert face.confidence == pytest.approx(score, abs=1e-6)
    points = [(point.x, point.y) for point in face.landmarks]
    step = 2 * stride
    assert points == [
        (centre_x - step, centre_y - step),
        (centre_x + step, centre_y - step),
        (centre_x, centre_y),
        (centre_x - step, centre_y + step),
        (centre_x + step, centre_y + step),
    ]


def test_duplicates_of_other_strides_are_suppressed_and_the_best_comes_first() -> None:
    box = fit(640, 640, 640)
    heads = silent(box)
    say(heads, box, 8, column=8, row=8, side=40, score=0.7)
    say(heads, box, 16, column=4, row=4, side=40, score=0.9)
    say(heads, box, 32, column=10, row=10, side=90, score=0.95)
    faces = decode(heads, box, confidence=0.6, overlap=0.3)
    assert [round(face.confidence, 2) for face in faces] == [0.95, 0.9]


def test_scores_beyond_their_range_are_clipped() -> None:
    box = fit(64, 64, 640)
    heads = silent(box)
    say(heads, box, 8, column=2, row=2, side=20, score=1.7)
    (face,) = decode(heads, box, confidence=0.6, overlap=0.3)
    assert face.confidence == 1.0


@given(st.integers(0, 2**32 - 1))
def test_no_cell_that_is_sure_is_left_out(seed: int) -> None:
    box = fit(96, 64, 96)
    heads = silent(box)
    noise = np.random.default_rng(seed)
    for name, values in heads.items():
        if name[:3] in {"cls", "obj"}:
            values[:] = noise.uniform(-0.2, 1.3, values.shape)
    faces = decode(heads, box, confidence=0.6, overlap=1.0)
    cls, obj = (
        np.concatenate([heads[f"{head}_{stride}"] for stride in STRIDES]).clip(0, 1)
        for head in ("cls", "obj")
    )
    expected = np.sqrt(cls.astype(np.float64) * obj)[:, 0]
    assert [face.confidence for face in faces] == pytest.approx(
        sorted(expected[expected >= 0.6], reverse=True)
    )


def test_scores_of_another_number_of_cells_are_another_networks() -> None:
    box = fit(64, 64, 640)
    for name in ("cls_8", "obj_16"):
        heads = silent(box)
        heads[name] = heads[name][1:]
        with pytest.raises(KeyError, match="scores of"):
            decode(heads, box, confidence=0.6, overlap=0.3)
