from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.kafka.progress import Gap, Mark, PartitionProgress
from mesh.ports import StoredOffset
from mesh.record import TopicPartition
from mesh.testing import NOON

SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = TopicPartition("sightline.frames.live", 3)


def progress(
    offset: int | None = None, mark: Mark | None = None, window: int = 10
) -> PartitionProgress:
    committed = None if offset is None else StoredOffset(offset, str(mark or Mark()))
    return PartitionProgress(PLACE, committed, window)


def test_nothing_is_stored_while_nothing_is_known() -> None:
    assert progress().stored(running=True) is None


def test_the_lowest_unfinished_offset_is_the_position() -> None:
    partition = progress(5)
    for offset in (5, 6, 7):
        partition.begin(offset)
    partition.finish(6)
    assert partition.position == 5
    partition.finish(5)
    assert partition.position == 7
    partition.finish(7)
    assert partition.position == 8


@given(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.permutations(range(n)))),
    st.data(),
)
def test_the_position_never_passes_an_unfinished_record(
    arrived: tuple[int, list[int]], data: st.DataObject
) -> None:
    count, order = arrived
    done = order[: data.draw(st.integers(0, count))]
    partition = progress(100)
    for offset in range(count):
        partition.begin(100 + offset)
    positions = [partition.position or 0]
    for offset in done:
        partition.finish(100 + offset)
        partition.finish(100 + offset)
        positions.append(partition.position or 0)
    unfinished = set(range(count)) - set(done)
    assert positions[-1] == 100 + min(unfinished, default=count)
    assert positions == sorted(positions)


def test_missing_offsets_are_a_gap_between_the_times_of_its_neighbours() -> None:
    partition = progress(40, Mark(at=NOON))
    partition.begin(42, NOON + SECOND)
    partition.begin(43, NOON + 2 * SECOND)
    partition.begin(50)
    assert partition.gaps == (
        Gap(PLACE, 40, 42, NOON, NOON + SECOND),
        Gap(PLACE, 44, 50, NOON + 2 * SECOND, None),
    )


def test_a_new_group_starts_at_the_first_record_of_all() -> None:
    whole, cut = progress(), progress()
    whole.begin(0)
    cut.begin(40)
    assert whole.gaps == ()
    assert cut.gaps == (Gap(PLACE, 0, 40),)


def test_the_position_stays_before_a_gap_until_it_is_reported() -> None:
    partition = progress(40)
    for offset in (42, 45):
        partition.begin(offset)
        partition.finish(offset)
    first, second = partition.gaps
    assert partition.position == 40
    partition.reported([first])
    assert partition.position == 43
    partition.reported([second])
    assert partition.position == 46


def test_the_time_of_the_last_finished_record_is_stored() -> None:
    partition = progress(40)
    for number in range(3):
        partition.begin(40 + number, NOON + number * SECOND)
    partition.finish(40)
    partition.finish(42)
    stored = partition.stored(running=True)
    assert stored is not None
    assert Mark.parse(stored.metadata) == Mark(running=True, at=NOON)
    partition.finish(41)
    stored = partition.stored(running=True)
    assert stored is not None
    assert Mark.parse(stored.metadata).at == NOON + 2 * SECOND


def test_a_log_that_was_cut_behind_us_is_counted_anew() -> None:
    partition = progress(40)
    partition.begin(40)
    partition.begin(41)
    partition.begin(43)
    partition.begin(7)
    assert partition.gaps == ()
    assert partition.position == 7
    partition.finish(7)
    assert partition.position == 8


def test_an_orderly_end_makes_no_suspects() -> None:
    assert not progress(40, Mark(running=False)).is_suspect(40)


def test_an_unclean_end_makes_suspects_of_the_next_records() -> None:
    partition = progress(40, Mark(running=True), window=10)
    assert [partition.is_suspect(offset) for offset in (40, 49, 50)] == [True, True, False]
    assert partition.stored(running=True) == StoredOffset(40, '{"running":true,"until":50}')


def test_what_comes_after_an_unclean_end_is_no_suspect() -> None:
    partition = progress(40, Mark(running=True), window=10)
    assert partition.untouched
    partition.look(43)
    assert not partition.untouched
    assert [partition.is_suspect(offset) for offset in (40, 42, 43)] == [True, True, False]


def test_where_the_end_is_not_known_the_window_alone_makes_suspects() -> None:
    partition = progress(40, Mark(running=True), window=10)
    partition.look(None)
    assert partition.is_suspect(49)


def test_suspects_stay_suspects_over_an_orderly_end() -> None:
    partition = progress(45, Mark(running=False, suspect_until=50))
    assert partition.is_suspect(49)
    assert not partition.is_suspect(50)


def test_attempts_are_carried_from_owner_to_owner_until_the_record_finishes() -> None:
    first = progress(40, Mark(running=True), window=10)
    first.begin(40)
    first.begin(41)
    assert first.count_attempt(41) == 2
    stored = first.stored(running=True)
    assert stored == StoredOffset(40, '{"running":true,"attempts":{"41":2},"until":50}')
    second = PartitionProgress(PLACE, stored, 10)
    second.begin(40)
    second.begin(41)
    assert second.count_attempt(40) == 2
    assert second.count_attempt(41) == 3
    second.finish(40)
    second.finish(41)
    assert second.stored(running=True) == StoredOffset(42, '{"running":true,"until":50}')


def test_an_orderly_end_holds_no_unfinished_attempt_against_its_record() -> None:
    partition = progress(40, Mark(running=True, attempts={40: 2}), window=10)
    partition.begin(40)
    partition.count_attempt(40)
    stored = partition.stored(running=False)
    assert stored is not None
    assert Mark.parse(stored.metadata) == Mark(running=False, attempts={40: 2}, suspect_until=50)


@pytest.mark.parametrize(
    "metadata", ["", "clean", "[]", "3", '{"a": 1}', '{"running": true, "attempts": 7}', "\x00"]
)
def test_metadata_that_is_not_ours_is_no_mark(metadata: str) -> None:
    assert Mark.parse(metadata) == Mark()


@given(
    st.builds(
        Mark,
        running=st.booleans(),
        attempts=st.dictionaries(st.integers(0, 2**62), st.integers(1, 9), max_size=5),
        suspect_until=st.integers(0, 2**62),
        at=st.none()
        | st.integers(0, 2**42).map(lambda number: EPOCH + timedelta(milliseconds=number)),
    )
)
def test_a_mark_survives_its_metadata(mark: Mark) -> None:
    assert Mark.parse(str(mark)) == mark
