from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from camera.domain.clocks import SETTLES, CameraClock
from camera.domain.freezing import Freeze
from camera.domain.motion import MotionGate
from camera.domain.pace import Lateness, Pace
from mesh.testing import NOON

delays = st.lists(st.floats(0, 3), min_size=1, max_size=100)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@given(delays, st.floats(-1e6, 1e6), st.floats(1, 30))
def test_lag_is_the_delay_beyond_the_least_one(late: list[float], start: float, fps: float) -> None:
    pace = Pace()
    for n, delay in enumerate(late):
        lag = pace.lag(start + n / fps, n / fps + delay)
        assert 0 <= lag <= delay - min(late[: n + 1]) + 1e-6


@given(st.floats(-0.009, 1), st.floats(1, 30))
def test_a_media_clock_that_runs_a_little_slow_or_fast_makes_nothing_late(
    drift: float, fps: float
) -> None:
    pace = Pace()
    assert all(pace.lag(n / fps * (1 + drift), n / fps) <= 1e-6 for n in range(500))


def test_a_backlog_is_late_until_it_is_worked_off() -> None:
    pace = Pace()
    in_time = [pace.lag(n / 5, n / 5) for n in range(25)]
    backlog = [pace.lag(5 + n / 5, 11 + n / 100) for n in range(30)]
    again = [pace.lag(11.3 + n / 5, 11.3 + n / 5) for n in range(5)]
    assert max(in_time) == 0
    assert backlog[0] == pytest.approx(6, abs=0.1)
    assert backlog == sorted(backlog, reverse=True)
    assert max(again) == pytest.approx(0, abs=0.1)


def test_lateness_lasts_until_a_picture_is_in_time() -> None:
    lateness = Lateness()
    assert [lateness.seconds(n, late=n not in {0, 4}) for n in range(7)] == [0, 0, 1, 2, 0, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.1, 20)), max_size=60), st.floats(1, 60))
def test_a_picture_is_frozen_exactly_when_it_was_shown_for_so_long(
    shown: list[tuple[int, float]], limit: float
) -> None:
    freeze, now, since, last = Freeze(), 0.0, 0.0, None
    for picture, gap in shown:
        now += gap
        since = now if picture != last else since
        last = picture
        assert freeze.shows(picture, now, limit) is (now - since >= limit)


def test_a_frozen_picture_stays_frozen_over_connections_until_it_changes() -> None:
    freeze = Freeze()
    freeze.shows(1, 0, 30)
    assert freeze.shows(1, 30, 30)
    freeze.connected()
    assert freeze.shows(1, 90, 30)
    assert not freeze.shows(2, 91, 30)


def test_a_picture_that_was_not_frozen_begins_anew_with_every_connection() -> None:
    freeze = Freeze()
    freeze.shows(1, 0, 30)
    freeze.connected()
    assert not freeze.shows(1, 100, 30)


@given(delays, st.floats(-1e8, 1e8), st.floats(1, 30))
def test_delays_are_never_taken_for_a_jump_of_the_clock(
    late: list[float], skew: float, fps: float
) -> None:
    clock = CameraClock()
    for n, delay in enumerate(late):
        now = n / fps + delay
        assert clock.tells(at(n / fps + skew), at(now), now) is None
    assert clock.believed(0)


@given(st.one_of(st.floats(6, 1e6), st.floats(-1e6, -6)), st.floats(-1e6, 1e6))
def test_a_jump_either_way_is_counted_once_and_the_clock_not_believed_for_a_while(
    jump: float, skew: float
) -> None:
    clock = CameraClock()
    jumps = []
    for n in range(20):
        ahead = skew + (jump if n >= 10 else 0)
        jumps.append(clock.tells(at(n / 5 + ahead), at(n / 5), n / 5))
    assert clock.jumps == 1
    (told,) = filter(None, jumps)
    assert told.total_seconds() == pytest.approx(jump, abs=0.5)
    assert not clock.believed(2 + SETTLES - 1)
    assert clock.believed(2 + SETTLES)


@pytest.mark.parametrize("drift", [-0.0001, 0.0001])
def test_the_correction_of_a_clock_that_drifted_for_a_day_is_a_jump(drift: float) -> None:
    clock = CameraClock()
    for now in range(0, 86_400, 60):
        assert clock.tells(at(now * (1 + drift)), at(now), now) is None
    clock.tells(at(86_400 * (1 + drift)), at(86_400), 86_400)
    assert clock.tells(at(86_400.2), at(86_400.2), 86_400.2) is not None


def a_scene(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(40, 200, (72, 128), dtype=np.uint8)


def brighter(scene: NDArray[np.uint8], share: float, by: int = 40) -> NDArray[np.uint8]:
    """The scene with this share of its rows brighter."""
    changed = scene.copy()
    changed[: round(share * len(scene))] += np.uint8(by)
    return changed


@given(st.lists(st.floats(0.1, 3), max_size=60), st.floats(1, 10))
def test_of_a_still_scene_one_picture_is_sent_in_each_interval(
    gaps: list[float], refresh: float
) -> None:
    gate, now, sent, scene = MotionGate(0.01, refresh), 0.0, None, a_scene()
    for gap in gaps:
        now += gap
        due = sent is None or now - sent >= refresh
        assert gate.is_quiet(scene, now) is not due
        sent = now if due else sent


@given(st.integers(0, 50), st.integers(0, 11))
def test_noise_is_no_motion(seed: int, noise: int) -> None:
    gate, scene = MotionGate(0.0005, 10), a_scene()
    gate.is_quiet(scene, 0)
    shaken = scene + np.random.default_rng(seed).integers(0, noise + 1, scene.shape, np.uint8)
    assert gate.is_quiet(shaken, 1)


@given(st.floats(0.05, 0.9), st.floats(0.01, 0.9))
def test_a_change_is_motion_if_it_covers_the_threshold(share: float, threshold: float) -> None:
    gate, scene = MotionGate(threshold, 10), a_scene()
    gate.is_quiet(scene, 0)
    quiet = gate.is_quiet(brighter(scene, share), 1)
    if abs(share - threshold) > 0.03:
        assert quiet is (share < threshold)


def test_a_slow_change_is_compared_with_the_last_picture_that_was_sent() -> None:
    gate, scene = MotionGate(0.5, 1000), a_scene()
    gate.is_quiet(scene, 0)
    quiet = [gate.is_quiet(brighter(scene, 1.0, by), by) for by in range(1, 20)]
    assert quiet[:12] == [True] * 12
    assert not quiet[12]
    assert all(quiet[13:])


def test_a_picture_of_another_size_is_motion() -> None:
    gate = MotionGate(0.5, 10)
    gate.is_quiet(a_scene(), 0)
    assert not gate.is_quiet(a_scene()[:36], 1)


def test_a_picture_too_small_to_compare_is_always_sent() -> None:
    gate = MotionGate(0.5, 10)
    assert not any(gate.is_quiet(a_scene()[:1], n) for n in range(3))
