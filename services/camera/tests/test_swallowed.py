from hypothesis import given
from hypothesis import strategies as st

from camera.domain.swallowed import Swallowed


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 3))
def test_every_picture_that_does_not_come_out_is_counted_once(
    comes_out: list[bool], delay: int
) -> None:
    """A decoder that shows pictures some packets later, and swallows some after the first."""
    swallowed, counted, waiting = Swallowed(), 0, []
    for place, comes in enumerate(comes_out):
        swallowed.took(place)
        if comes:
            waiting.append(place)
        if len(waiting) > delay:
            counted += swallowed.showed(waiting.pop(0))
    counted += sum(swallowed.showed(place) for place in waiting)
    shown = [place for place, comes in enumerate(comes_out) if comes]
    assert counted == (shown[-1] - shown[0] + 1 - len(shown) if shown else 0)


def test_what_comes_in_another_order_than_it_is_shown_is_not_missed() -> None:
    swallowed = Swallowed()
    for place in (0, 3, 1, 2):
        swallowed.took(place)
    assert [swallowed.showed(place) for place in (0, 1, 2, 3)] == [0, 0, 0, 0]


def test_what_was_inside_when_decoding_begins_anew_is_not_counted() -> None:
    swallowed = Swallowed()
    swallowed.took(0)
    swallowed.took(1)
    swallowed.emptied()
    swallowed.took(None)
    swallowed.took(5)
    assert swallowed.showed(None) == swallowed.showed(5) == 0
