import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.source.sampling import Sampler, Spread, phase_to

rates = st.floats(0.1, 60)
limits = st.floats(0.1, 30)
phases = st.floats(0, 1, exclude_max=True)


def kept(limit: float, times: list[float], phase: float = 0.0) -> list[float]:
    sampler = Sampler(limit, phase)
    return [moment for moment in times if sampler.keeps(moment)]


def test_every_third_frame_of_fifteen_is_kept_at_five() -> None:
    times = [n / 15 for n in range(150)]
    assert kept(5, times) == times[::3]


def test_a_rate_that_does_not_divide_is_met_exactly_in_the_long_run() -> None:
    assert len(kept(7, [n / 25 for n in range(5000)])) == 1400


@given(rates, limits, phases)
def test_a_regular_stream_is_kept_at_the_lower_of_both_rates(
    rate: float, limit: float, phase: float
) -> None:
    frames = 500
    expected = frames * min(1.0, limit / rate)
    assert abs(len(kept(limit, [n / rate for n in range(frames)], phase)) - expected) <= 2


@given(st.lists(st.floats(0, 5), max_size=200), limits, phases)
def test_no_span_of_time_has_more_than_its_share_and_two(
    gaps: list[float], limit: float, phase: float
) -> None:
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    chosen = kept(limit, times, phase)
    for first in range(0, len(chosen), 7):
        for last in range(first, len(chosen)):
            span = chosen[last] - chosen[first]
            assert last - first + 1 <= limit * span + 2 + 1e-3


@given(st.floats(1, 30), st.lists(st.floats(-0.4, 0.4), min_size=100, max_size=300), phases)
def test_jitter_costs_a_stream_at_the_limit_almost_nothing(
    rate: float, jitter: list[float], phase: float
) -> None:
    times = sorted((n + shake) / rate for n, shake in enumerate(jitter))
    assert len(kept(rate, times, phase)) >= len(times) - 3


@given(phases)
def test_the_first_frame_is_kept(phase: float) -> None:
    assert Sampler(0.1, phase).keeps(1234.5)


@given(st.lists(st.floats(0, 3), max_size=200), st.floats(0.5, 30), phases)
def test_a_phase_never_costs_a_frame(gaps: list[float], limit: float, phase: float) -> None:
    plain, moved = Sampler(limit), Sampler(limit, phase)
    now, ahead = 0.0, 0
    for gap in gaps:
        now += gap
        ahead += moved.keeps(now) - plain.keeps(now)
        assert ahead >= 0


@given(limits, st.lists(st.floats(1, 5), max_size=200), phases)
def test_a_stream_no_faster_than_the_limit_is_kept_whole(
    limit: float, gaps: list[float], phase: float
) -> None:
    times = [sum(gaps[:n]) / limit for n in range(len(gaps) + 1)]
    assert kept(limit, times, phase) == times


@given(phases)
def test_a_phase_moves_the_moments_of_a_faster_stream_and_not_their_distance(
    phase: float,
) -> None:
    moments = kept(5, [n / 1000 for n in range(3000)], phase)
    due = [0.0, *((n - phase) / 5 for n in range(1, 16))]
    assert moments == pytest.approx(due[: len(moments)], abs=0.0011)
    assert len(moments) >= 15


@pytest.mark.parametrize("sources", [2, 3, 4, 7, 20, 100])
def test_sources_are_far_from_each_other(sources: int) -> None:
    spread = Spread("camera-0")
    moments = sorted(spread.moment() for _ in range(sources))
    pairs = zip(moments, [*moments[1:], moments[0] + 1], strict=True)
    gaps = [after - before for before, after in pairs]
    assert min(gaps) > 0.38 / sources


def test_those_who_sample_begin_at_moments_of_their_own() -> None:
    assert Spread("camera-0").moment() != Spread("camera-1").moment()
    assert Spread("camera-0").moment() == Spread("camera-0").moment()


@given(st.floats(0, 0.999), st.floats(0, 1e6), st.sampled_from([0.5, 1.0, 5.0, 15.0]))
def test_a_source_comes_to_its_moment_whenever_it_begins(
    moment: float, now: float, limit: float
) -> None:
    second = now + (1 - phase_to(moment, now, limit)) / limit
    assert math.cos(2 * math.pi * (second * limit - moment)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("phase", [-0.1, 1.0, float("nan")])
def test_a_phase_that_is_no_share_is_refused(phase: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        Sampler(5, phase)


def test_a_clock_that_jumps_back_does_not_stop_the_stream() -> None:
    sampler = Sampler(5)
    before = [sampler.keeps(1000 + n / 5) for n in range(10)]
    after = [sampler.keeps(n / 5) for n in range(10)]
    assert before == [True] * 10
    assert after.count(True) >= 9


def test_a_changed_limit_holds_from_the_next_frame() -> None:
    sampler = Sampler(1)
    slow = [sampler.keeps(n / 10) for n in range(20)]
    sampler.limit = 10
    fast = [sampler.keeps(2 + n / 10) for n in range(20)]
    assert sampler.limit == 10
    assert slow.count(True) == 2
    assert fast.count(True) >= 19


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Sampler(limit)
