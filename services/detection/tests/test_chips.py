import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.domain.chip import (
    GRADES,
    ChipGrade,
    ChipWindow,
    affordable_grades,
    chip_size,
    chip_window,
    into_chip,
    visible_share,
    within_budget,
)
from mesh.events import BoundingBox, Point

place = st.floats(-500, 4000)
extent = st.floats(1, 2000)


@given(place, place, extent, extent)
def test_a_chip_window_is_square_and_contains_its_box(
    x: float, y: float, width: float, height: float
) -> None:
    window = chip_window(BoundingBox(x1=x, y1=y, x2=x + width, y2=y + height))
    assert window.x <= x
    assert window.y <= y
    assert window.x + window.side >= x + width
    assert window.y + window.side >= y + height
    assert 1.4 * max(width, height) <= window.side <= 1.4 * max(width, height) + 2


@given(place, place, extent)
def test_the_box_lies_in_the_middle_of_its_window(x: float, y: float, side: float) -> None:
    window = chip_window(BoundingBox(x1=x, y1=y, x2=x + side, y2=y + side))
    assert window.x + window.side / 2 == pytest.approx(x + side / 2, abs=1)
    assert window.y + window.side / 2 == pytest.approx(y + side / 2, abs=1)


@given(st.integers(2, 3000), st.sampled_from(GRADES))
def test_a_chip_is_never_enlarged(side: int, grade: ChipGrade) -> None:
    assert chip_size(ChipWindow(x=0, y=0, side=side), grade) == min(side, grade.max_side)


@given(place, place, st.floats(20, 900), st.floats(0, 1), st.floats(0, 1))
def test_landmarks_of_the_box_lie_inside_the_chip(
    x: float, y: float, side: float, across: float, down: float
) -> None:
    window = chip_window(BoundingBox(x1=x, y1=y, x2=x + side, y2=y + side))
    size = chip_size(window, GRADES[0])
    (point,) = into_chip([Point(x=x + across * side, y=y + down * side)], window, size)
    assert 0 <= point.x <= size
    assert 0 <= point.y <= size


def test_one_face_gets_the_best_grade() -> None:
    assert affordable_grades([ChipWindow(x=0, y=0, side=400)], 524_288) == GRADES


def test_a_crowd_starts_with_smaller_chips() -> None:
    crowd = [ChipWindow(x=0, y=0, side=300)] * 100
    assert affordable_grades(crowd, 524_288)[0].max_side == 112


def test_there_is_always_a_grade_to_try() -> None:
    crowd = [ChipWindow(x=0, y=0, side=300)] * 200
    assert affordable_grades(crowd, 1000) == GRADES[-1:]


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(0, 500))
def test_what_is_kept_fits_and_one_more_would_not(sizes: list[int], budget: int) -> None:
    kept = within_budget(sizes, budget)
    assert sum(sizes[:kept]) <= budget
    assert kept == len(sizes) or sum(sizes[: kept + 1]) > budget


def test_how_much_of_a_face_the_picture_shows() -> None:
    inside = BoundingBox(x1=200, y1=200, x2=300, y2=300)
    at_the_edge = BoundingBox(x1=0, y1=200, x2=100, y2=300)
    beyond = BoundingBox(x1=900, y1=200, x2=1000, y2=300)

    assert visible_share(inside, width=640, height=480) == 1.0
    assert 0.8 < visible_share(at_the_edge, width=640, height=480) < 0.9
    assert visible_share(beyond, width=640, height=480) == 0.0
