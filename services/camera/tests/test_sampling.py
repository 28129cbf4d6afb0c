import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.sampling import Sampler

rates = st.floats(0.1, 60)
limits = st.floats(0.1, 30)


def kept(limit: float, times: list[float]) -> list[float]:
    sampler = Sampler(limit)
    return [moment for moment in times if sampler.keeps(moment)]


def test_every_third_frame_of_fifteen_is_kept_at_five() -> None:
    times = [n / 15 for n in range(150)]
    assert kept(5, times) == times[::3]


def test_a_rate_that_does_not_divide_is_met_exactly_in_the_long_run() -> None:
    assert len(kept(7, [n / 25 for n in range(5000)])) == 1400


@given(rates, limits)
def test_a_regular_stream_is_kept_at_the_lower_of_both_rates(rate: float, limit: float) -> None:
    frames = 500
    expected = frames * min(1.0, limit / rate)
    assert abs(len(kept(limit, [n / rate for n in range(frames)])) - expected) <= 2


@given(st.lists(st.floats(0, 5), max_size=200), limits)
def test_no_span_of_time_has_more_than_its_share_and_two(gaps: list[float], limit: float) -> None:
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    chosen = kept(limit, times)
    for first in range(0, len(chosen), 7):
        for last in range(first, len(chosen)):
            span = chosen[last] - chosen[first]
            assert last - first + 1 <= limit * span + 2 + 1e-3


@given(st.floats(1, 30), st.lists(st.floats(-0.4, 0.4), min_size=100, max_size=300))
def test_jitter_costs_a_stream_at_the_limit_almost_nothing(
    rate: float, jitter: list[float]
) -> None:
    times = sorted((n + shake) / rate for n, shake in enumerate(jitter))
    assert len(kept(rate, times)) >= len(times) - 3


def test_the_first_frame_is_kept() -> None:
    assert Sampler(0.1).keeps(1234.5)


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
