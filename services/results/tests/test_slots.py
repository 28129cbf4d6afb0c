from datetime import UTC, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.testing import NOON
from results.domain.slots import DAY, day_of, parts_of
from results.domain.statistics import HOUR, MINUTE, PERIODS, start_of


@given(hours=st.integers(0, 24 * 40))
def test_the_parts_follow_each_other_without_gap_from_the_start_to_the_end_of_time(
    hours: int,
) -> None:
    since = NOON.astimezone(UTC) + hours * HOUR
    parts = parts_of(since, HOUR)

    assert parts[0].starts == since
    assert parts[-1].ends is None
    assert all(before.ends == after.starts for before, after in pairwise(parts))
    for part in parts:
        assert part.day == (part.starts == day_of(part.starts) and part.ends is not None)
        assert part.ends is None or part.starts < part.ends <= day_of(part.starts) + DAY


@given(seconds=st.integers(0, 3 * 24 * 3600))
def test_every_finished_day_of_the_longest_period_is_a_part(seconds: int) -> None:
    now = NOON + timedelta(seconds=seconds)
    since = start_of("7d", now)
    days = {part.starts for part in parts_of(since, PERIODS["7d"][1]) if part.day}
    today = day_of(now)
    assert {day for n in range(9) if (day := today - n * DAY) >= since} <= days


def test_minutes_are_never_cut() -> None:
    assert [part.day for part in parts_of(NOON, MINUTE)] == [False]
