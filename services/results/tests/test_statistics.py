from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.events import FrameResult, Outcome
from mesh.testing import CAMERA_ID, EPOCH, NOON, a_decision, a_result_detection, a_stage_time
from results.domain.ledger import EpochKey, entry_of, entry_of_result, fold
from results.domain.numbers import NumberSet
from results.domain.statistics import (
    BOUNDS_MS,
    PERIODS,
    Counts,
    Figures,
    has_drops,
    percentile,
    start_of,
    tally,
)

from .stored_events import a_result, an_entry

EMPTY = fold(())


def figures_of(counts: Counts, span: int = 60) -> Figures:
    figures = Figures()
    for slot, count in counts.items():
        if slot.span == span:
            figures.add(slot.measure, slot.bucket, count)
    return figures


def drops_of(*entries: Any, known: NumberSet | None = None) -> dict[str, dict[str, int]]:
    book = fold(entries)
    counts = tally((), book, {EpochKey(CAMERA_ID, EPOCH): known or NumberSet()})
    return {key: dict(value) for key, value in figures_of(counts).drops.items()}


def test_a_frame_counts_once_per_minute_and_once_per_hour() -> None:
    named = a_result_detection()
    nobody = replace(named, decision=a_decision(identified=False, person_id=None))
    body = replace(named, detection_type="person", decision=None)
    result = replace(a_result(0), detections=(named, nobody, body))

    counts = tally([result], EMPTY, {})

    assert {(slot.span, slot.at, slot.camera_id) for slot in counts} == {
        (60, NOON, CAMERA_ID),
        (3600, NOON, CAMERA_ID),
    }
    for span in (60, 3600):
        figures = figures_of(counts, span)
        assert (figures.frames, figures.detections) == (1, 3)
        assert (figures.identified, figures.unknown) == (1, 1)


def test_slots_start_at_whole_minutes_and_hours() -> None:
    late = a_result(0, frame={"received_timestamp": NOON + timedelta(minutes=59, seconds=59)})
    starts = {slot.span: slot.at for slot in tally([late], EMPTY, {})}
    assert starts == {60: NOON + timedelta(minutes=59), 3600: NOON}


def test_every_stage_and_every_wait_has_its_latency() -> None:
    stages = (
        a_stage_time("camera"),
        a_stage_time(
            "detection",
            started_at=NOON + timedelta(milliseconds=15),
            ended_at=NOON + timedelta(milliseconds=25),
        ),
        a_stage_time("one of tomorrow", started_at=NOON + timedelta(seconds=100)),
    )
    result = replace(a_result(0), stages=stages)

    rendered = figures_of(tally([result], EMPTY, {})).render()["latency_ms"]

    assert list(rendered) == [
        "total", "camera", "wait_detection", "detection", "other", "wait_other",
    ]  # fmt: skip
    assert rendered["wait_detection"]["p50"] <= 5 < rendered["detection"]["p99"] <= 10


def test_drops_count_by_outcome_and_reason() -> None:
    failed = replace(a_result(20), outcome=Outcome.FAILED, reason="unreadable_image")
    entries = [
        entry_of(an_entry()),
        entry_of_result(failed),
        entry_of(an_entry(outcome="lost", reason=None, ranges=an_entry(outcome="lost").ranges)),
    ]
    assert drops_of(*entries[:2]) == {"shed": {"stale": 10}, "failed": {"unreadable_image": 1}}
    assert drops_of(entries[2]) == {"lost": {"unknown": 10}}


def test_a_number_that_has_an_outcome_already_is_no_drop_again() -> None:
    entry = entry_of(an_entry())
    assert drops_of(entry, known=NumberSet.of([(0, 10)])) == {}
    assert drops_of(entry, known=NumberSet.of([(0, 4)])) == {"shed": {"stale": 6}}
    assert drops_of(entry, entry) == {"shed": {"stale": 10}}


def test_a_number_that_this_very_batch_processed_is_no_drop() -> None:
    assert drops_of(entry_of(an_entry()), entry_of_result(a_result(3))) == {"shed": {"stale": 9}}


def test_what_was_captured_is_no_drop() -> None:
    captured = entry_of(an_entry(outcome="captured", reason=None))
    assert drops_of(captured) == {}
    assert not has_drops(fold([captured]))
    assert has_drops(fold([entry_of(an_entry())]))


def test_figures_of_cameras_add_up() -> None:
    one, both = figures_of(tally([a_result(0)], fold([entry_of(an_entry())]), {})), Figures()
    both.include(one)
    both.include(one)
    rendered = both.render()
    assert rendered["frames"] == 2
    assert rendered["drops"]["shed"] == {"total": 20, "by_reason": {"stale": 20}}
    assert rendered["latency_ms"].keys() == one.render()["latency_ms"].keys()


def test_an_unknown_measure_of_tomorrow_is_passed_over() -> None:
    figures = Figures()
    figures.add("something", 0, 7)
    assert figures == Figures()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(
    seconds: list[float], share: float
) -> None:
    results: list[FrameResult] = []
    for number, each in enumerate(seconds):
        took = a_stage_time("camera", ended_at=NOON + timedelta(seconds=each))
        results.append(replace(a_result(number), stages=(took,)))
    buckets = figures_of(tally(results, EMPTY, {})).times["total"]
    true = sorted(seconds)[max(0, -int(-share * len(seconds) // 1) - 1)] * 1000
    found = percentile(buckets, share)
    bounds = (0, *BOUNDS_MS, float("inf"))
    low = max(b for b in bounds if b <= max(true - 0.002, 0))
    high = min(b for b in bounds if b >= min(true + 0.002, 60_000))
    assert min(low, 60_000) - 0.1 <= found <= high + 0.1


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile({}, 0.5) == 0.0


@pytest.mark.parametrize("period", PERIODS)
def test_a_period_begins_with_a_whole_slot(period: str) -> None:
    length, span = PERIODS[period]
    now = NOON + timedelta(minutes=34, seconds=56)
    start = start_of(period, now)
    assert now - length - span < start <= now - length
    assert start.timestamp() % span.total_seconds() == 0
