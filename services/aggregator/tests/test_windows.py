"""The first record of a frame wins."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.domain.windows import (
    UNSETTLED,
    WINDOW,
    Seen,
    Verdict,
    first_seen,
    judge,
    remember,
    unsettled,
)
from mesh.events import StageTime
from mesh.identity import frame_key
from mesh.testing import CAMERA_ID, EPOCH, NOON, a_frame_header

MOMENTS = st.timedeltas(timedelta(0), timedelta(days=20_000)).map(lambda since: NOON + since)


def entry(sequence: int, offset: int, epoch: int = EPOCH) -> Seen:
    return Seen(epoch, sequence, offset, 0, 0, "aggregator-1")


def test_a_frame_that_nobody_saw_is_the_first() -> None:
    assert judge((), a_frame_header(), 7) == (Verdict.FIRST, None)


def test_the_same_offset_again_is_the_same_record() -> None:
    seen = entry(3, 40)
    verdict = judge((seen, entry(4, 41)), a_frame_header(sequence_number=3), 40)
    assert verdict == (Verdict.AGAIN, seen)


def test_another_record_of_a_known_frame_is_dropped_whether_later_or_earlier() -> None:
    seen = (entry(3, 40), entry(4, 41))
    for offset in (39, 42):
        verdict, _ = judge(seen, a_frame_header(sequence_number=3), offset)
        assert verdict is Verdict.OTHER


def test_the_same_number_in_another_epoch_is_another_frame() -> None:
    verdict, _ = judge((entry(3, 40),), a_frame_header(sequence_number=3, epoch=EPOCH + 1), 41)
    assert verdict is Verdict.FIRST


def test_a_record_from_before_the_window_is_forgotten() -> None:
    seen: tuple[Seen, ...] = ()
    for number in range(WINDOW + 10):
        seen = remember(seen, entry(number, number))
    assert len(seen) == WINDOW
    verdict, known = judge(seen, a_frame_header(sequence_number=2), 2)
    assert (verdict, known) == (Verdict.FORGOTTEN, None)


def test_a_topic_that_counts_from_zero_again_does_not_hide_a_new_epoch() -> None:
    verdict, _ = judge((entry(3, 4000),), a_frame_header(epoch=EPOCH + 4096), 0)
    assert verdict is Verdict.FIRST


def test_the_newest_records_may_not_be_published_yet() -> None:
    seen = tuple(entry(number, number) for number in range(UNSETTLED + 1))
    keys = unsettled(seen, CAMERA_ID)
    assert len(keys) == UNSETTLED
    assert frame_key(CAMERA_ID, EPOCH, 0) not in keys
    assert frame_key(CAMERA_ID, EPOCH, UNSETTLED) in keys


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=60, unique=True)
)
def test_every_record_in_the_window_is_known_again(frames: list[tuple[int, int]]) -> None:
    seen: tuple[Seen, ...] = ()
    for offset, (epoch, sequence) in enumerate(frames):
        seen = remember(seen, entry(sequence, offset, epoch))
    for offset, (epoch, sequence) in enumerate(frames):
        header = a_frame_header(epoch=epoch, sequence_number=sequence)
        assert judge(seen, header, offset) == (Verdict.AGAIN, seen[offset])


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_the_stage_time_of_a_result_survives_to_the_microsecond(
    started_at: datetime, took: timedelta
) -> None:
    stage = StageTime(
        stage="aggregator", instance_id="a-2", started_at=started_at, ended_at=started_at + took
    )
    assert first_seen(a_frame_header(), 5, stage).stage == stage
