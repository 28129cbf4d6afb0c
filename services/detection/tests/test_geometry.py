import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from detection.domain.geometry import area, clip_box, iou_matrix, nms, shorter_side
from detection.domain.letterbox import ENLARGED, STRIDE, fit, fit_into
from mesh.events import BoundingBox

Boxes = NDArray[np.float64]
coordinate = st.floats(-200, 800, allow_nan=False)
extent = st.floats(0, 400, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn, most: int = 8) -> Boxes:
    rows = draw(st.lists(st.tuples(coordinate, coordinate, extent, extent), max_size=most))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in rows]).reshape(-1, 4)


@given(boxes(), boxes())
def test_overlap_is_symmetric_and_bounded(left: Boxes, right: Boxes) -> None:
    overlap = iou_matrix(left, right)
    assert overlap.shape == (len(left), len(right))
    assert np.allclose(overlap, iou_matrix(right, left).T)
    assert ((overlap >= 0) & (overlap <= 1)).all()


def test_a_box_overlaps_itself_fully_and_an_empty_one_nothing() -> None:
    box, empty = np.array([[1.0, 2.0, 5.0, 9.0]]), np.array([[3.0, 3.0, 3.0, 3.0]])
    assert iou_matrix(box, box)[0, 0] == pytest.approx(1.0)
    assert iou_matrix(empty, empty)[0, 0] == 0.0
    assert iou_matrix(box, np.array([[3.0, 2.0, 7.0, 9.0]]))[0, 0] == pytest.approx(1 / 3)


@given(boxes(), st.floats(0, 1))
def test_suppression_is_idempotent_and_leaves_no_pair_that_overlaps(
    candidates: Boxes, threshold: float
) -> None:
    kept = nms(candidates, threshold)
    again = nms(candidates[kept], threshold)
    assert again.tolist() == list(range(len(kept)))
    overlap = iou_matrix(candidates[kept], candidates[kept]) - np.eye(len(kept))
    assert (overlap <= threshold + 1e-9).all()


def test_the_first_of_two_that_overlap_is_kept() -> None:
    rows = np.array([[1.0, 1, 11, 11], [50.0, 50, 60, 60], [0.0, 0, 10, 10]])
    assert nms(rows, 0.3).tolist() == [0, 1]


whole_pixels = arrays.arrays(
    np.float64, st.tuples(st.integers(0, 25), st.just(4)), elements=st.integers(0, 30)
)


def by_a_loop(corners: Boxes, kinds: NDArray[np.intp], threshold: float) -> list[int]:
    kept: list[int] = []
    for index in range(len(corners)):
        rivals = [other for other in kept if kinds[other] == kinds[index]]
        if (iou_matrix(corners[rivals], corners[index][None]) <= threshold).all():
            kept.append(index)
    return kept


@given(whole_pixels, st.floats(0, 0.9))
def test_suppression_is_the_greedy_one(raw: Boxes, threshold: float) -> None:
    corners = np.concatenate([raw[:, :2], raw[:, :2] + raw[:, 2:]], axis=1)
    kinds = (raw[:, 0].astype(np.intp) + raw[:, 3].astype(np.intp)) % 2
    assert nms(corners, threshold, kinds=kinds).tolist() == by_a_loop(corners, kinds, threshold)
    alike = np.zeros_like(kinds)
    assert nms(corners, threshold).tolist() == by_a_loop(corners, alike, threshold)


@given(whole_pixels, st.floats(0, 0.9))
def test_many_boxes_are_suppressed_as_few_are(raw: Boxes, threshold: float) -> None:
    corners = np.concatenate([raw[:, :2], raw[:, :2] + raw[:, 2:]], axis=1)
    column = 100.0 + 10.0 * np.arange(30)[:, None]
    elsewhere = column + np.array([[0.0, 0.0, 5.0, 5.0]])
    everything = np.concatenate([corners, elsewhere])
    kinds = np.arange(len(everything)) % 2
    for shown in (kinds, np.zeros_like(kinds)):
        expected = by_a_loop(corners, shown, threshold)
        kept = nms(everything, threshold, kinds=shown).tolist()
        assert kept == [*expected, *range(len(corners), len(everything))]


def test_nothing_is_kept_of_nothing() -> None:
    assert nms(np.zeros((0, 4)), 0.3).size == 0


def test_a_box_is_clipped_to_the_picture() -> None:
    box = BoundingBox(x1=-5, y1=10, x2=30, y2=200)
    assert clip_box(box, width=20, height=100) == BoundingBox(x1=0, y1=10, x2=20, y2=100)


@pytest.mark.parametrize(
    "box",
    [
        BoundingBox(x1=-9, y1=0, x2=0, y2=9),
        BoundingBox(x1=0, y1=100, x2=9, y2=120),
        BoundingBox(x1=5, y1=5, x2=5, y2=9),
    ],
)
def test_a_box_outside_the_picture_is_nothing(box: BoundingBox) -> None:
    assert clip_box(box, width=100, height=100) is None


def test_sides_and_area_are_in_pixels() -> None:
    box = BoundingBox(x1=10, y1=10, x2=40, y2=30)
    assert (shorter_side(box), area(box)) == (20, 600)


@given(st.integers(1, 8000), st.integers(1, 8000), st.sampled_from([160, 320, 640, 1280]))
def test_a_letterbox_fits_its_input_without_waste(width: int, height: int, long_side: int) -> None:
    box = fit(width, height, long_side)
    assert box.width % STRIDE == 0
    assert box.height % STRIDE == 0
    assert 0 <= box.width - box.content_width < STRIDE
    assert 0 <= box.height - box.content_height < STRIDE
    assert max(box.content_width, box.content_height) <= long_side
    assert box.scale <= ENLARGED


@given(st.integers(16, 8000), st.integers(16, 8000), st.floats(0, 1), st.floats(0, 1))
def test_a_point_survives_the_way_into_the_letterbox_and_back(
    width: int, height: int, across: float, down: float
) -> None:
    box = fit(width, height, 640)
    x, y = across * width * box.scale, down * height * box.scale
    assert x <= box.content_width + 0.51
    assert y <= box.content_height + 0.51
    assert (x / box.scale, y / box.scale) == pytest.approx((across * width, down * height))


def test_a_16_to_9_frame_is_not_made_square() -> None:
    box = fit(1280, 720, 640)
    assert (box.width, box.height, box.scale) == (640, 384, 0.5)


@pytest.mark.parametrize(
    ("side", "scale"), [(100, 2.0), (250, 2.0), (320, 2.0), (400, 1.6), (640, 1.0), (1280, 0.5)]
)
def test_a_small_picture_is_enlarged_at_most_twice(side: int, scale: float) -> None:
    assert fit(side, side, 640).scale == scale


@given(st.integers(1, 8000), st.integers(1, 8000), st.sampled_from([(640, 640), (320, 240)]))
def test_an_input_of_one_size_holds_a_picture_of_any(
    width: int, height: int, sides: tuple[int, int]
) -> None:
    box = fit_into(width, height, input_width=sides[0], input_height=sides[1])
    assert (box.width, box.height) == sides
    assert 1 <= box.content_width <= box.width
    assert 1 <= box.content_height <= box.height
    assert box.scale <= 1
