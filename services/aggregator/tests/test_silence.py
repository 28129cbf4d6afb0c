"""Cameras that fell silent, by a clock that only counts."""

from datetime import timedelta

from aggregator.adapters.silence import SilenceWatch
from mesh.clock import ManualClock

GATE = (0, "cam_gate")


def a_watch(clock: ManualClock) -> SilenceWatch:
    return SilenceWatch(clock, after=timedelta(seconds=15), stall=timedelta(seconds=3))


def wait(clock: ManualClock, watch: SilenceWatch, seconds: int) -> list[tuple[int, str]]:
    due: list[tuple[int, str]] = []
    for _ in range(seconds):
        clock.advance(1)
        due = watch.due()
    return due


def test_a_camera_with_open_sightings_is_due_after_its_silence() -> None:
    clock = ManualClock()
    watch = a_watch(clock)
    watch.note(*GATE, is_open=True)
    assert wait(clock, watch, 15) == []
    assert wait(clock, watch, 1) == [GATE]


def test_a_frame_starts_the_silence_anew() -> None:
    clock = ManualClock()
    watch = a_watch(clock)
    watch.note(*GATE, is_open=True)
    wait(clock, watch, 10)
    watch.note(*GATE, is_open=True)
    assert wait(clock, watch, 10) == []


def test_a_camera_without_open_sightings_is_not_watched() -> None:
    clock = ManualClock()
    watch = a_watch(clock)
    watch.note(*GATE, is_open=True)
    watch.note(*GATE, is_open=False)
    assert wait(clock, watch, 60) == []


def test_nothing_is_due_after_partitions_changed_hands() -> None:
    clock = ManualClock()
    watch = a_watch(clock)
    watch.note(*GATE, is_open=True)
    watch.clear()
    assert wait(clock, watch, 60) == []
    assert not watch.is_due(*GATE)


def test_a_process_that_slept_gives_every_camera_its_time_anew() -> None:
    clock = ManualClock()
    watch = a_watch(clock)
    watch.note(*GATE, is_open=True)
    clock.advance(60)
    assert watch.due() == []
    assert wait(clock, watch, 16) == [GATE]
