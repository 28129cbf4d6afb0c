from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.record import Record, TopicPartition
from mesh.scheduler import Fifo, LaneSpec, RoundRobin, Scheduled, older_than_max_age
from mesh.testing import NOON, a_detection_config, a_frame_captured, a_frame_header, a_record

URGENT = LaneSpec(name="urgent", topics=("u",), share=2)
LIVE = LaneSpec(name="live", topics=("l",), newest_wins=True, stale=older_than_max_age)
EVIDENCE = LaneSpec(name="evidence", topics=("e",))


def note(key: str, offset: int, partition: int = 0) -> Record[str]:
    return a_record(f"{key}{offset}", key=key, offset=offset, partition=partition)


def events(scheduled: Scheduled) -> list[str]:
    return [record.event for record in scheduled.batch]


def test_cameras_of_a_lane_take_turns() -> None:
    scheduler = RoundRobin([EVIDENCE])
    for key, offset in [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("c", 4)]:
        scheduler.add("evidence", note(key, offset))
    assert events(scheduler.next_batch(NOON, 4)) == ["a0", "b3", "c4", "a1"]
    assert events(scheduler.next_batch(NOON, 4)) == ["a2"]
    assert scheduler.next_batch(NOON, 4) == Scheduled([], [])


def test_an_urgent_record_does_not_wait_behind_a_full_lane() -> None:
    scheduler = RoundRobin([URGENT, EVIDENCE])
    for offset in range(20):
        scheduler.add("evidence", note("e", offset))
    scheduler.next_batch(NOON, 4)
    scheduler.add("urgent", note("u", 0))
    assert "u0" in events(scheduler.next_batch(NOON, 4))


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
def test_every_busy_lane_gets_its_share_however_small_the_batches(capacity: int) -> None:
    scheduler = RoundRobin([URGENT, EVIDENCE])
    for offset in range(600):
        scheduler.add("urgent", note("u", offset))
        scheduler.add("evidence", note("e", offset))
    taken: Counter[str] = Counter()
    while sum(taken.values()) < 300:
        taken.update(event[0] for event in events(scheduler.next_batch(NOON, capacity)))
    assert taken["e"] == pytest.approx(100, abs=capacity + 2)


def test_a_lane_that_needed_little_for_long_does_not_starve_the_others_afterwards() -> None:
    scheduler = RoundRobin([URGENT, EVIDENCE])
    for offset in range(200):
        scheduler.add("evidence", note("e", offset))
    scheduler.add("urgent", note("u", 0))
    for offset in range(1, 21):  # one at a time, never none
        scheduler.add("urgent", note("u", offset))
        scheduler.next_batch(NOON, 2)
    for offset in range(21, 100):
        scheduler.add("urgent", note("u", offset))
    taken = [event[0] for _ in range(6) for event in events(scheduler.next_batch(NOON, 2))]
    assert taken.count("e") >= 3


def test_what_a_lane_does_not_use_is_given_to_the_others() -> None:
    scheduler = RoundRobin([URGENT, EVIDENCE])
    for offset in range(8):
        scheduler.add("evidence", note("e", offset))
    assert len(scheduler.next_batch(NOON, 8).batch) == 8


def test_of_several_live_frames_of_a_camera_the_newest_is_kept() -> None:
    scheduler = RoundRobin([LIVE])
    for offset in range(3):
        scheduler.add("live", a_record(a_frame_captured(), offset=offset))
    scheduled = scheduler.next_batch(NOON, 4)
    assert [record.offset for record in scheduled.batch] == [2]
    assert [(shed.record.offset, shed.reason, shed.lane) for shed in scheduled.shed] == [
        (0, "superseded", "live"),
        (1, "superseded", "live"),
    ]
    assert scheduler.waiting("live") == 0


@pytest.mark.parametrize(("age_ms", "shed"), [(200, []), (201, ["max_age"])])
def test_a_live_frame_is_shed_once_it_is_older_than_its_camera_allows(
    age_ms: int, shed: list[str]
) -> None:
    scheduler = RoundRobin([LIVE])
    frame = a_frame_captured(
        frame=a_frame_header(received_timestamp=NOON), detection=a_detection_config(max_age_ms=200)
    )
    scheduler.add("live", a_record(frame))
    scheduled = scheduler.next_batch(NOON + timedelta(milliseconds=age_ms), 4)
    assert [each.reason for each in scheduled.shed] == shed
    assert len(scheduled.batch) == 1 - len(shed)


def test_records_of_partitions_that_others_own_are_forgotten() -> None:
    for scheduler in (RoundRobin([EVIDENCE]), Fifo()):
        for offset, partition in enumerate((0, 1, 0, 1)):
            scheduler.add("evidence", note(f"k{partition}", offset, partition))
        gone = note("k1", 0, 1).source
        assert scheduler.drop(frozenset({gone})) == 2
        assert scheduler.waiting("evidence") == 2
        assert {record.partition for record in scheduler.next_batch(NOON, 9).batch} == {0}


def test_first_come_first_served() -> None:
    scheduler = Fifo()
    for key, offset in [("a", 0), ("a", 1), ("b", 2)]:
        scheduler.add("any", note(key, offset))
    assert events(scheduler.next_batch(NOON, 2)) == ["a0", "a1"]
    assert events(scheduler.next_batch(NOON, 2)) == ["b2"]


@pytest.mark.parametrize(("share", "prefetch", "window"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_lane_without_share_or_room_is_refused(share: int, prefetch: int, window: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LaneSpec(name="live", topics=("l",), share=share, prefetch=prefetch, window=window)


lanes = st.sampled_from(["urgent", "live", "evidence"])
steps = st.lists(
    st.one_of(st.tuples(lanes, st.sampled_from("abc")), st.integers(1, 5)), max_size=60
)


@given(steps)
def test_nothing_is_lost_doubled_or_reordered_within_a_camera_and_lane(
    moves: list[tuple[str, str] | int],
) -> None:
    scheduler = RoundRobin(
        [URGENT, LaneSpec(name="live", topics=("l",), newest_wins=True), EVIDENCE]
    )
    added, left = [], []
    for offset, move in enumerate([*moves, 999, 999]):
        if isinstance(move, int):
            scheduled = scheduler.next_batch(NOON, move)
            assert len(scheduled.batch) <= move
            left += [shed.record for shed in scheduled.shed] + list(scheduled.batch)
        else:
            lane, key = move
            record = a_record(lane, topic=lane, key=key, offset=offset)
            scheduler.add(lane, record)
            added.append(record)
    assert sorted(r.offset for r in left) == [r.offset for r in added]
    orders: dict[tuple[str | None, str], list[int]] = defaultdict(list)
    for record in left:
        orders[record.key, record.topic].append(record.offset)
    assert all(order == sorted(order) for order in orders.values())


def test_a_partition_is_named_by_topic_and_number() -> None:
    assert note("a", 0, 3).source == TopicPartition("sightline.frames.live", 3)
