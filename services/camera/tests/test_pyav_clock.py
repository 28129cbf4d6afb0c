from fractions import Fraction

import pytest

from camera.adapters.pyav_clock import StreamClock


def test_a_first_picture_whose_place_nobody_tells_comes_before_those_that_are_told() -> None:
    """RTSP servers send the first one before FFmpeg knows where the stream begins."""
    clock = StreamClock()
    first, _ = clock.times(None)
    second, _ = clock.times(Fraction(51, 90_000))
    assert 0.0 <= first < second == pytest.approx(51 / 90_000)


def test_pictures_whose_place_nobody_tells_go_on_from_the_last_that_was_told() -> None:
    clock = StreamClock()
    told, _ = clock.times(100.0)
    first, second = (clock.times(None)[0] for _ in range(2))
    assert told <= first <= second < told + 60
