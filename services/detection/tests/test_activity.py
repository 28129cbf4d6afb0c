"""The heuristic for falls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.domain.activity import FallRule, Posture, Postures, fall
from mesh.events import Activity, BoundingBox

RULE = FallRule()


def standing(seconds: float) -> Posture:
    return Posture(seconds, BoundingBox(x1=100, y1=100, x2=160, y2=280))


def lying(seconds: float) -> Posture:
    return Posture(seconds, BoundingBox(x1=80, y1=220, x2=260, y2=290))


def crouching(seconds: float) -> Posture:
    return Posture(seconds, BoundingBox(x1=100, y1=180, x2=190, y2=280))


def last(*window: Posture) -> Activity | None:
    return fall(window, RULE)


def test_who_stood_and_lies_for_a_while_has_fallen() -> None:
    found = last(standing(0), standing(0.5), lying(1), lying(1.5), lying(2))
    assert found is not None
    assert (found.name, found.model_id) == ("fall", "fall-heuristic")
    assert 0.5 < found.score <= 1


def test_who_stands_or_was_never_seen_standing_has_not() -> None:
    assert last() is None
    assert last(standing(0), standing(5)) is None
    assert last(*(lying(second) for second in range(5))) is None


def test_one_flat_box_is_not_yet_a_fall() -> None:
    assert last(standing(0), lying(1)) is None
    assert last(standing(0), lying(0.2), crouching(1), lying(2)) is None


def test_a_fall_through_a_crouch_is_one() -> None:
    assert last(standing(0), crouching(0.5), lying(1), lying(2)) is not None


def test_who_stood_up_again_has_not_fallen() -> None:
    assert last(standing(0), lying(1), lying(2), standing(3)) is None


def test_a_flat_box_at_the_same_height_is_no_fall() -> None:
    """Arms spread, or somebody who walks into another: the top of the box did not sink."""
    wide = [Posture(s, BoundingBox(x1=0, y1=101, x2=220, y2=281)) for s in (1.0, 2.0)]
    assert last(standing(0), *wide) is None


def test_who_lies_for_long_was_told_while_it_was_news() -> None:
    postures = Postures()
    window = [standing(0), *(lying(second) for second in range(1, 30))]
    told = [postures.see("trk_1", posture) is not None for posture in window]
    assert told.index(True) == 2
    assert not told[-1]


def test_a_repeated_frame_gives_the_same() -> None:
    postures = Postures()
    for posture in (standing(0), lying(1), lying(2)):
        postures.see("trk_1", posture)
    again = postures.see("trk_1", lying(2))
    assert again is not None
    assert again == postures.see("trk_1", lying(2))


def test_tracks_do_not_mix() -> None:
    postures = Postures()
    postures.see("trk_1", standing(0))
    assert postures.see("trk_2", lying(1)) is None
    assert postures.see("trk_2", lying(2)) is None


def test_only_the_latest_tracks_are_remembered() -> None:
    postures = Postures(most=2)
    for name in ("a", "b", "c"):
        postures.see(name, standing(0))
    assert len(postures) == 2
    for second in (1, 2):
        assert postures.see("a", lying(second)) is None


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(1, 500), st.floats(1, 500), st.floats(0, 500)),
        max_size=12,
    )
)
def test_a_score_is_a_share(raw: list[tuple[float, float, float, float]]) -> None:
    window = [
        Posture(seconds, BoundingBox(x1=0, y1=y, x2=width, y2=y + height))
        for seconds, width, height, y in sorted(raw)
    ]
    found = fall(window, RULE)
    assert found is None or found.score == pytest.approx(min(max(found.score, 0), 1))
