from datetime import timedelta

from aggregator.adapters.stall import StallWatch
from mesh.clock import ManualClock

TURN = timedelta(seconds=1)


def watch(clock: ManualClock) -> StallWatch:
    return StallWatch(clock, limit=timedelta(seconds=60), asleep=timedelta(seconds=3))


def stalled_after(clock: ManualClock, seen: StallWatch, turns: int, offset: int | None) -> bool:
    found = False
    for _ in range(turns):
        found = bool(seen.stalled({2: offset}))
        clock.advance(1)
    return found


def test_an_offset_that_stands_still_before_the_end_is_a_stall() -> None:
    clock = ManualClock()
    seen = watch(clock)

    assert not stalled_after(clock, seen, 61, 736)
    assert seen.stalled({2: 736, 3: 5}) == [2]


def test_a_partition_without_any_commit_may_stall_too() -> None:
    clock = ManualClock()
    assert stalled_after(clock, watch(clock), 62, None)


def test_an_offset_that_moves_is_none() -> None:
    clock = ManualClock()
    seen = watch(clock)
    for offset in range(100):
        assert seen.stalled({2: offset}) == []
        clock.advance(1)


def test_a_partition_at_its_end_starts_anew() -> None:
    clock = ManualClock()
    seen = watch(clock)
    assert not stalled_after(clock, seen, 40, 736)

    seen.stalled({})

    assert not stalled_after(clock, seen, 61, 736)


def test_time_in_which_something_was_in_the_way_does_not_count() -> None:
    clock = ManualClock()
    seen = watch(clock)
    assert not stalled_after(clock, seen, 60, 736)

    seen.clear()

    assert not stalled_after(clock, seen, 61, 736)


def test_a_process_that_slept_does_not_blame_its_partitions() -> None:
    clock = ManualClock()
    seen = watch(clock)
    assert not stalled_after(clock, seen, 30, 736)

    clock.advance(100)

    assert seen.stalled({2: 736}) == []
