from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.events import Priority
from mesh.record import Record, TopicPartition
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import LaneSpec, Scheduled, by_priority, older_than_max_age
from mesh.testing import NOON, a_detection_config, a_frame_captured, a_frame_header, a_record

URGENT = LaneSpec(name="urgent", topics=("u",), share=2)
LIVE = LaneSpec(name="live", topics=("l",), newest_wins=True, stale=older_than_max_age)
EVIDENCE = LaneSpec(name="evidence", topics=("e",))


def weigh(record: Record[Any]) -> int:
    """What a record says that it weighs."""
    return int(record.event)


def note(key: str, offset: int, partition: int = 0) -> Record[str]:
    return a_record(f"{key}{offset}", key=key, offset=offset, partition=partition)


def events(scheduled: Scheduled) -> list[str]:
    return [record.event for record in scheduled.batch]


def test_cameras_of_a_lane_take_turns() -> None:
    scheduler = DeficitRoundRobin([EVIDENCE])
    for key, offset in [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("c", 4)]:
        scheduler.add("evidence", note(key, offset))
    assert events(scheduler.next_batch(NOON, 4)) == ["a0", "b3", "c4", "a1"]
    assert events(scheduler.next_batch(NOON, 4)) == ["a2"]
    assert scheduler.next_batch(NOON, 4) == Scheduled([], [])


def test_an_urgent_record_does_not_wait_behind_a_full_lane() -> None:
    scheduler = DeficitRoundRobin([URGENT, EVIDENCE])
    for offset in range(20):
        scheduler.add("evidence", note("e", offset))
    scheduler.next_batch(NOON, 4)
    scheduler.add("urgent", note("u", 0))
    assert "u0" in events(scheduler.next_batch(NOON, 4))


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
def test_every_busy_lane_gets_its_share_however_small_the_batches(capacity: int) -> None:
    scheduler = DeficitRoundRobin([URGENT, EVIDENCE])
    for offset in range(600):
        scheduler.add("urgent", note("u", offset))
        scheduler.add("evidence", note("e", offset))
    taken: Counter[str] = Counter()
    while sum(taken.values()) < 300:
        taken.update(event[0] for event in events(scheduler.next_batch(NOON, capacity)))
    assert taken["e"] == pytest.approx(100, abs=capacity + 2)


def test_a_lane_that_needed_little_for_long_does_not_starve_the_others_afterwards() -> None:
    scheduler = DeficitRoundRobin([URGENT, EVIDENCE])
    for offset in range(200):
        scheduler.add("evidence", note("e", offset))
    scheduler.add("urgent", note("u", 0))
    for offset in range(1, 21):  # one at a time, never none
        scheduler.add("urgent", note("u", offset))
        scheduler.next_batch(NOON, 2)
    for offset in range(21, 100):
        scheduler.add("urgent", note("u", offset))
    taken = [event[0] for _ in range(12) for event in events(scheduler.next_batch(NOON, 2))]
    assert taken.count("e") >= 6


def test_what_a_lane_does_not_use_is_given_to_the_others() -> None:
    scheduler = DeficitRoundRobin([URGENT, EVIDENCE])
    for offset in range(8):
        scheduler.add("evidence", note("e", offset))
    assert len(scheduler.next_batch(NOON, 8).batch) == 8


def test_of_several_live_frames_of_a_camera_the_newest_is_kept() -> None:
    scheduler = DeficitRoundRobin([LIVE])
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
    scheduler = DeficitRoundRobin([LIVE])
    frame = a_frame_captured(
        frame=a_frame_header(received_timestamp=NOON), detection=a_detection_config(max_age_ms=200)
    )
    scheduler.add("live", a_record(frame))
    scheduled = scheduler.next_batch(NOON + timedelta(milliseconds=age_ms), 4)
    assert [each.reason for each in scheduled.shed] == shed
    assert len(scheduled.batch) == 1 - len(shed)


def test_records_of_partitions_that_others_own_are_forgotten() -> None:
    scheduler = DeficitRoundRobin([EVIDENCE])
    for offset, partition in enumerate((0, 1, 0, 1)):
        scheduler.add("evidence", note(f"k{partition}", offset, partition))
    gone = note("k1", 0, 1).source
    assert scheduler.drop(frozenset({gone})) == 2
    assert scheduler.waiting("evidence") == 2
    assert {record.partition for record in scheduler.next_batch(NOON, 9).batch} == {0}


def test_a_batch_of_none_only_sheds_what_was_superseded() -> None:
    scheduler = DeficitRoundRobin([LIVE])
    for offset in range(3):
        scheduler.add("live", a_record(a_frame_captured(), offset=offset))
    scheduled = scheduler.next_batch(NOON, 0)
    assert [shed.record.offset for shed in scheduled.shed] == [0, 1]
    assert scheduled.batch == []
    assert scheduler.waiting("live") == 1


def test_a_camera_weighs_what_its_priority_says() -> None:
    weights = [
        by_priority(a_record(a_frame_captured(frame=a_frame_header(priority=each))))
        for each in (Priority.HIGH, Priority.NORMAL, Priority.LOW)
    ]
    assert weights == [4, 2, 1]


def test_a_lane_is_read_unless_somebody_holds_it() -> None:
    assert not EVIDENCE.held()


@pytest.mark.parametrize("limit", ["share", "prefetch", "prefetch_bytes", "window"])
def test_a_lane_without_share_or_room_is_refused(limit: str) -> None:
    limits: dict[str, Any] = {limit: 0}
    with pytest.raises(ValueError, match="at least 1"):
        replace(LIVE, **limits)


lanes = st.sampled_from(["urgent", "live", "evidence"])
steps = st.lists(
    st.one_of(st.tuples(lanes, st.sampled_from("abc")), st.integers(1, 5)), max_size=60
)


@given(steps)
def test_nothing_is_lost_doubled_or_reordered_within_a_camera_and_lane(
    moves: list[tuple[str, str] | int],
) -> None:
    scheduler = DeficitRoundRobin(
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


class Load:
    """Cameras that always have so many frames waiting in a lane, however often they are served."""

    def __init__(
        self, scheduler: DeficitRoundRobin, lane: str, weights: Mapping[str, int], depth: int = 1
    ) -> None:
        self.scheduler = scheduler
        self.lane = lane
        self.weights = weights
        self.served: Counter[str] = Counter()
        self._offset = 0
        for key in weights:
            for _ in range(depth):
                self.arrive(key)

    def arrive(self, key: str) -> None:
        self._offset += 1
        weight = self.weights[key]
        record = a_record(weight, topic=self.lane, key=key, offset=self._offset)
        self.scheduler.add(self.lane, record)

    def run(self, batches: Iterable[int]) -> None:
        """After each batch every camera that was served gets as many frames again."""
        for capacity in batches:
            self.note(self.scheduler.next_batch(NOON, capacity).batch)

    def note(self, batch: Iterable[Record[Any]]) -> None:
        for record in batch:
            self.served[str(record.key)] += 1
            self.arrive(str(record.key))


WEIGHED = LaneSpec(name="evidence", topics=("e",), weight=weigh)
weights = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([1, 2, 4]), min_size=1)
capacities = st.lists(st.integers(0, 8), max_size=80)


def assert_proportional(load: Load) -> None:
    """Nobody is ahead of another by more than one round."""
    for one, other in permutations(load.weights, 2):
        rounds = [load.served[key] / load.weights[key] for key in (one, other)]
        assert rounds[0] - rounds[1] <= 1.0


@given(weights, capacities)
def test_busy_cameras_are_served_in_proportion_to_their_weights_within_one_round(
    cameras: dict[str, int], batches: list[int]
) -> None:
    load = Load(DeficitRoundRobin([WEIGHED]), "evidence", cameras, depth=8)
    load.run(batches)
    assert_proportional(load)


@given(weights, st.integers(0, 300))
def test_live_cameras_with_one_fresh_frame_at_a_time_are_served_by_weight_too(
    cameras: dict[str, int], batches: int
) -> None:
    lane = replace(WEIGHED, newest_wins=True)
    load = Load(DeficitRoundRobin([lane]), "evidence", cameras)
    load.run([1] * batches)
    assert_proportional(load)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=40))
def test_where_records_share_a_lane_only_those_that_yield_are_overtaken(
    arriving: list[tuple[str, bool]],
) -> None:
    asked = {f"{key}{offset}" for offset, (key, is_asked) in enumerate(arriving) if is_asked}
    lane = replace(EVIDENCE, newest_wins=True, yields=lambda record: record.event not in asked)
    scheduler = DeficitRoundRobin([lane])
    for offset, (key, _) in enumerate(arriving):
        scheduler.add("evidence", note(key, offset))

    newest = {key: f"{key}{n}" for n, (key, is_asked) in enumerate(arriving) if not is_asked}
    assert scheduler.waiting("evidence") == len(asked) + len(newest)
    found = scheduler.next_batch(NOON, 100)
    assert sorted(events(found)) == sorted(asked | set(newest.values()))
    assert len(found.batch) + len(found.shed) == len(arriving)
    assert {each.reason for each in found.shed} <= {"superseded"}
    for name in "ab":
        mine = [record.offset for record in found.batch if record.key == name]
        assert mine == sorted(mine)


@given(weights, capacities)
def test_no_camera_waits_longer_than_one_round(cameras: dict[str, int], batches: list[int]) -> None:
    load = Load(DeficitRoundRobin([WEIGHED]), "evidence", {**cameras, "quiet": 1}, depth=0)
    for key in cameras:
        load.arrive(key)
    load.run(batches)
    load.arrive("quiet")
    load.run([1] * (sum(cameras.values()) + 1))
    assert load.served["quiet"] >= 1


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=2),
    st.integers(1, 30),
    st.booleans(),
)
def test_cameras_of_one_weight_share_fairly_however_unequally_they_send(
    rates: dict[str, int], capacity: int, newest_wins: bool
) -> None:
    """Jain's index of what each camera got, relative to its max-min fair share, is at least .95."""
    lane = LaneSpec(name="evidence", topics=("e",), newest_wins=newest_wins)
    scheduler = DeficitRoundRobin([lane])
    served: Counter[str] = Counter()
    rounds, offset = 15, 0
    for _ in range(rounds):
        for key, rate in rates.items():
            for _ in range(rate):
                offset += 1
                scheduler.add("evidence", a_record(None, key=key, offset=offset))
        served.update(str(r.key) for r in scheduler.next_batch(NOON, capacity).batch)
    wanted = dict.fromkeys(rates, 1) if newest_wins else rates
    fair = max_min_shares({key: rate * rounds for key, rate in wanted.items()}, capacity * rounds)
    assert jain([served[key] / share for key, share in fair.items()]) >= 0.95


def jain(shares: Sequence[float]) -> float:
    """1 if all are equal, 1/n if one has everything (Jain, Chiu and Hawe, 1984)."""
    return sum(shares) ** 2 / (len(shares) * sum(each * each for each in shares))


def max_min_shares(wanted: Mapping[str, int], capacity: float) -> dict[str, float]:
    """What each gets if nobody can get more without somebody who has less getting even less."""
    shares: dict[str, float] = {}
    for key in sorted(wanted, key=lambda each: wanted[each]):
        shares[key] = min(wanted[key], capacity / (len(wanted) - len(shares)))
        capacity -= shares[key]
    return shares


@given(st.permutations([1, 2, 3, 4]), st.integers(1, 8))
def test_every_saturated_lane_gets_its_guaranteed_share(shares: list[int], capacity: int) -> None:
    lanes = [
        LaneSpec(name=name, topics=(name,), share=share)
        for name, share in zip(("urgent", "request", "live", "evidence"), shares, strict=True)
    ]
    scheduler = DeficitRoundRobin(lanes)
    loads = [Load(scheduler, lane.name, dict.fromkeys("abcdefgh", 1)) for lane in lanes]
    taken: Counter[str] = Counter()
    for _ in range(100):
        batch = scheduler.next_batch(NOON, capacity).batch
        taken.update(record.topic for record in batch)
        for load in loads:
            load.note(record for record in batch if record.topic == load.lane)
    total = sum(taken.values())
    assert total == 100 * capacity
    for lane in lanes:
        assert taken[lane.name] >= total * lane.share / 10 - capacity - 2


@given(steps)
def test_a_live_lane_never_holds_more_than_one_frame_of_a_camera(
    moves: list[tuple[str, str] | int],
) -> None:
    scheduler = DeficitRoundRobin([LaneSpec(name="live", topics=("l",), newest_wins=True)])
    for offset, move in enumerate(moves):
        if isinstance(move, int):
            scheduler.next_batch(NOON, move)
        else:
            scheduler.add("live", a_record(None, key=move[1], offset=offset))
        assert scheduler.waiting("live") <= len("abc")


def test_a_partition_is_named_by_topic_and_number() -> None:
    assert note("a", 0, 3).source == TopicPartition("sightline.frames.live", 3)
