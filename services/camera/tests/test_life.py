from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.backoff import Backoff
from camera.domain.life import ErrorCode, Life
from mesh.events import StreamState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_stream_begins_by_connecting_and_is_down_meanwhile() -> None:
    life = Life.begin(NOON)
    assert life.state is StreamState.CONNECTING
    assert life.attempts == 0
    assert life.connecting().attempts == 1
    assert life.downtime(at(3)) == timedelta(seconds=3)


def test_a_live_stream_has_no_error_and_no_growing_downtime() -> None:
    life = Life.begin(NOON).failed(at(1), ErrorCode.TIMEOUT, "no answer").connecting()
    live = life.went_live(at(4))
    assert live.established_at == at(4)
    assert (live.attempts, live.error_code, live.last_error) == (0, None, None)
    assert live.downtime(at(100)) == timedelta(seconds=4)


def test_an_error_is_kept_while_connecting_again() -> None:
    life = Life.begin(NOON).connecting().failed(at(1), ErrorCode.UNREACHABLE, "nobody there")
    waiting = life.retrying_at(at(2))
    again = waiting.connecting()
    assert waiting.next_retry_at == at(2)
    assert again.next_retry_at is None
    assert again.error_code is ErrorCode.UNREACHABLE
    assert again.attempts == 2
    held = waiting.failed(at(2), ErrorCode.DEPENDENCY_UNAVAILABLE, "kafka is away")
    assert (held.state, held.next_retry_at) == (StreamState.ERROR, None)


def test_a_lost_connection_is_a_reset_but_a_failed_attempt_is_not() -> None:
    lost = Life.begin(NOON).went_live(at(1)).failed(at(60), ErrorCode.STREAM_ENDED, "ended")
    refused = lost.connecting().failed(at(61), ErrorCode.UNREACHABLE, "refused")
    assert (lost.resets, lost.errors) == (1, 1)
    assert (refused.resets, refused.errors) == (1, 2)
    assert refused.established_at is None


def test_only_a_connection_that_lasted_forgives_earlier_failures() -> None:
    failing = Life.begin(NOON)
    for second in (1, 3, 5):
        failing = failing.went_live(at(second)).failed(at(second + 1), ErrorCode.FROZEN, "frozen")
        failing = failing.connecting()
    assert failing.failures == 3
    stable = failing.went_live(at(10)).failed(at(20), ErrorCode.FROZEN, "frozen")
    assert stable.failures == 1


def test_a_stopped_stream_stays_stopped_and_its_downtime_stands_still() -> None:
    stopped = Life.begin(NOON).stopped(at(2), ErrorCode.STREAM_ENDED, "the file is over")
    assert stopped.error_code is ErrorCode.STREAM_ENDED
    assert stopped.downtime(at(1000)) == timedelta(seconds=2)
    with pytest.raises(ValueError, match="stopped cannot become connecting"):
        stopped.connecting()
    with pytest.raises(ValueError, match="stopped cannot become stopped"):
        stopped.stopped(at(3))


def test_a_stream_in_error_must_connect_before_it_is_live() -> None:
    life = Life.begin(NOON).failed(at(1), ErrorCode.TIMEOUT, "no answer")
    with pytest.raises(ValueError, match="error cannot become live"):
        life.went_live(at(2))


@given(st.lists(st.tuples(st.sampled_from(["live", "fail", "connect"]), st.floats(0, 1000))))
def test_downtime_never_shrinks_nor_exceeds_the_time_since_the_start(
    steps: list[tuple[str, float]],
) -> None:
    life, now, before = Life.begin(NOON), 0.0, timedelta(0)
    for step, elapsed in steps:
        now += elapsed
        if step == "live" and life.state is StreamState.CONNECTING:
            life = life.went_live(at(now))
        elif step == "fail" and life.state is not StreamState.ERROR:
            life = life.failed(at(now), ErrorCode.TIMEOUT, "no answer")
        elif step == "connect" and life.state is StreamState.ERROR:
            life = life.connecting()
        down = life.downtime(at(now))
        assert before <= down <= at(now) - NOON
        before = down


def test_delays_double_up_to_a_minute_and_use_the_whole_range() -> None:
    latest = Backoff(random=lambda: 1.0)
    delays = [latest.delay(n, ErrorCode.UNREACHABLE).total_seconds() for n in range(1, 9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert Backoff(random=lambda: 0.0).delay(5, ErrorCode.TIMEOUT) == timedelta(0)


@given(st.integers(1, 10_000), st.sampled_from(ErrorCode), st.floats(0, 1, exclude_max=True))
def test_no_delay_is_longer_than_the_maximum(failures: int, code: ErrorCode, x: float) -> None:
    delay = Backoff(random=lambda: x).delay(failures, code)
    assert timedelta(0) <= delay <= timedelta(seconds=60)
    if code.needs_people:
        assert delay >= timedelta(seconds=30)


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.UNAUTHORIZED,
        ErrorCode.NOT_FOUND,
        ErrorCode.UNSUPPORTED,
        ErrorCode.FORBIDDEN_ADDRESS,
        ErrorCode.CRASHED,
    ],
)
def test_where_people_must_help_trying_is_slow_from_the_first_failure(code: ErrorCode) -> None:
    assert Backoff(random=lambda: 0.0).delay(1, code) == timedelta(seconds=30)
