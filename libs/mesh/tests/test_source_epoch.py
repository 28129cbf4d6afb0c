from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from mesh.events import FrameCaptured, Lane, LedgerEntry
from mesh.source.epoch import Epoch, Waiting
from mesh.source.ring import Allowance, Ring, RingLimits
from mesh.source.statistics import Statistics
from mesh.testing import CAMERA_ID, NOON, a_frame_captured, a_frame_header


def frame(sequence: int, size: int = 1) -> FrameCaptured:
    header = a_frame_header(sequence_number=sequence)
    return a_frame_captured(frame=header, image=b"x" * size)


def an_epoch(frames: int = 10) -> Epoch:
    return Epoch(CAMERA_ID, 7, Lane.LIVE, limits=RingLimits(frames=frames), statistics=Statistics())


def numbers(entries: list[LedgerEntry], outcome: str = "captured") -> set[int]:
    return {
        number
        for entry in entries
        if entry.outcome == outcome
        for each in entry.ranges
        for number in range(each.first, each.last + 1)
    }


@given(
    st.integers(1, 5),
    st.none() | st.integers(1, 30),
    st.lists(st.integers(0, 20) | st.none(), max_size=60),
)
def test_a_ring_drops_the_oldest_and_always_holds_the_newest(
    frames: int, size: int | None, steps: list[int | None]
) -> None:
    ring: Ring[tuple[int, int]] = Ring(RingLimits(frames=frames, size=size), lambda item: item[1])
    expected: list[tuple[int, int]] = []
    for number, step in enumerate(steps):
        if step is None:
            assert ring.pop(1) == expected[:1]
            expected = expected[1:]
            continue
        expected.append((number, step))
        dropped = ring.push((number, step))
        assert dropped == expected[: len(dropped)]
        expected = expected[len(dropped) :]
        assert expected[-1] == (number, step)
        assert len(ring) == len(expected) <= frames
        assert size is None or len(expected) == 1 or sum(each[1] for each in expected) <= size


def test_a_ring_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RingLimits(frames=0)


def test_frames_are_numbered_from_zero_and_published_in_order() -> None:
    epoch = an_epoch()
    assert all(epoch.offer(frame) for _ in range(3))
    assert [waiting.sequence for waiting in epoch.take(10, NOON)] == [0, 1, 2]
    assert epoch.take(10, NOON) == []


def test_no_more_are_taken_than_may_be_in_flight() -> None:
    epoch = an_epoch()
    for _ in range(6):
        epoch.offer(frame)
    assert len(epoch.take(4, NOON)) == 4
    assert epoch.take(4, NOON) == []
    epoch.acknowledge(0)
    assert [waiting.sequence for waiting in epoch.take(4, NOON)] == [4]


def test_a_full_ring_sheds_the_oldest_and_the_ledger_hears_which() -> None:
    epoch = an_epoch(frames=2)
    for _ in range(5):
        epoch.offer(frame)
    entries = epoch.report(NOON, "camera-0")
    assert numbers(entries, "shed") == {0, 1, 2}
    assert numbers(entries) == {0, 1, 2}
    assert {entry.reason for entry in entries if entry.outcome == "shed"} == {"ring_full"}
    assert not any(entry.closes_epoch for entry in entries)


def test_a_frame_that_came_back_waits_in_its_place() -> None:
    epoch = an_epoch()
    for _ in range(4):
        epoch.offer(frame)
    epoch.take(3, NOON)
    for sequence in (0, 1, 2):
        epoch.give_back(sequence)
    assert [waiting.sequence for waiting in epoch.take(10, NOON)] == [0, 1, 2, 3]


def test_a_frame_that_cannot_be_published_is_shed_with_its_reason() -> None:
    epoch = an_epoch()
    epoch.offer(frame)
    epoch.take(1, NOON)
    epoch.refuse(0, "too_large")
    epoch.waste("too_large")
    assert numbers(epoch.report(NOON, "camera-0"), "shed") == {0, 1}


def test_what_the_broker_did_not_acknowledge_is_not_told() -> None:
    epoch = an_epoch()
    epoch.offer(frame)
    epoch.take(1, NOON)
    assert epoch.report(NOON, "camera-0") == []
    epoch.acknowledge(0)
    (entry,) = epoch.report(NOON, "camera-0")
    assert (entry.camera_id, entry.epoch, entry.lane) == (CAMERA_ID, 7, Lane.LIVE)
    assert (entry.service, entry.instance_id, entry.reported_at) == ("camera", "camera-0", NOON)
    assert epoch.report(NOON, "camera-0") == []


def test_a_closed_epoch_takes_nothing_and_its_last_entry_says_so() -> None:
    epoch = an_epoch()
    epoch.offer(frame)
    epoch.close()
    assert not epoch.offer(frame)
    epoch.waste("too_large")
    assert not epoch.finished
    epoch.take(1, NOON)
    assert not epoch.finished
    epoch.acknowledge(0)
    assert not epoch.finished
    (entry,) = epoch.report(NOON, "camera-0")
    assert entry.closes_epoch
    assert not epoch.finished
    epoch.reported(entry)
    assert epoch.finished
    assert epoch.report(NOON, "camera-0") == []
    assert numbers([entry]) == {0}


def test_the_closing_entry_comes_after_every_other_was_reported() -> None:
    epoch = an_epoch(frames=1)
    for _ in range(2):
        epoch.offer(frame)
    epoch.take(1, NOON)
    epoch.acknowledge(1)
    epoch.close()
    shed, captured = epoch.report(NOON, "camera-0")
    assert not any(entry.closes_epoch for entry in (shed, captured))
    assert epoch.report(NOON, "camera-0") == []
    epoch.reported(captured)
    epoch.unreported(shed)
    (again,) = epoch.report(NOON, "camera-0")
    assert again == shed
    assert not epoch.finished
    epoch.reported(again)
    (last,) = epoch.report(NOON, "camera-0")
    assert last.closes_epoch
    assert numbers([last]) == {0, 1}


def test_a_frame_that_grew_too_old_is_shed_instead_of_published() -> None:
    def dated(sequence: int) -> FrameCaptured:
        deadline = NOON + timedelta(seconds=sequence)
        return a_frame_captured(frame=a_frame_header(sequence_number=sequence, deadline=deadline))

    epoch = an_epoch()
    for _ in range(4):
        epoch.offer(dated)
    later = NOON + timedelta(seconds=2)
    assert [waiting.sequence for waiting in epoch.take(1, later)] == [2]
    (shed, _) = epoch.report(NOON, "camera-0")
    assert (shed.reason, numbers([shed], "shed")) == ("max_age", {0, 1})


def test_a_later_frame_never_overtakes_one_that_came_back() -> None:
    epoch = an_epoch()
    for _ in range(4):
        epoch.offer(frame)
    epoch.take(2, NOON)
    epoch.give_back(0)
    assert epoch.take(4, NOON) == []
    epoch.give_back(1)
    assert [waiting.sequence for waiting in epoch.take(4, NOON)] == [0, 1, 2, 3]


def test_what_waits_is_counted_until_the_broker_has_it() -> None:
    epoch = an_epoch()
    assert epoch.drained
    for _ in range(3):
        epoch.offer(lambda sequence: frame(sequence, size=5))
    epoch.take(1, NOON)
    assert epoch.waiting == (3, 15)
    epoch.acknowledge(0)
    assert epoch.waiting == (2, 10)
    assert not epoch.drained


def test_rings_that_share_an_allowance_stay_within_it_together() -> None:
    process = Allowance(size=10)
    camera = Allowance(frames=3, within=process)
    one, two = (
        Ring[int](RingLimits(frames=100, shared=camera), size_of=lambda size: size)
        for _ in range(2)
    )
    assert [one.push(1) for _ in range(3)] == [[], [], []]
    assert two.push(1) == [1]
    assert one.push(1) == [1]
    one.pop(1)
    assert two.push(2) == []
    other = Ring[int](RingLimits(shared=Allowance(within=process)), size_of=lambda size: size)
    assert other.push(7) == [7]
    assert other.push(6) == []
    assert other.size == 6
    one.pop(3)
    assert not process.exceeded


def test_an_epoch_without_frames_has_nothing_to_tell() -> None:
    epoch = an_epoch()
    epoch.close()
    assert epoch.finished
    assert epoch.report(NOON, "camera-0") == []


def test_entries_that_the_broker_did_not_take_are_told_again() -> None:
    epoch = an_epoch(frames=1)
    for _ in range(3):
        epoch.offer(frame)
    epoch.take(1, NOON)
    epoch.acknowledge(2)
    lost = epoch.report(NOON, "camera-0")
    for entry in lost:
        epoch.unreported(entry)
    assert epoch.report(NOON, "camera-0") == lost
    for entry in lost:
        epoch.reported(entry)
    epoch.close()
    (closing,) = epoch.report(NOON, "camera-0")
    epoch.unreported(closing)
    assert not epoch.finished
    assert epoch.report(NOON, "camera-0") == [closing]


@dataclass
class Model:
    told: dict[str, Counter[int]] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    in_flight: list[Waiting] = field(default_factory=list)
    offered: int = 0


class EpochMachine(RuleBasedStateMachine):
    """Whatever the broker does, every number is told once as captured, and shed or published."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = an_epoch(frames=3)
        self.model = Model()
        self.unanswered: list[LedgerEntry] = []
        self.ended = False

    @rule()
    def offer(self) -> None:
        self.model.offered += self.epoch.offer(frame)

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.model.in_flight += self.epoch.take(limit, NOON)

    @precondition(lambda self: self.model.in_flight)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        waiting = data.draw(st.sampled_from(self.model.in_flight))
        self.model.in_flight.remove(waiting)
        what = data.draw(st.sampled_from(["acknowledge", "give_back", "refuse"]))
        if what == "acknowledge":
            self.epoch.acknowledge(waiting.sequence)
            self.model.acknowledged.add(waiting.sequence)
        elif what == "give_back":
            self.epoch.give_back(waiting.sequence)
        else:
            self.epoch.refuse(waiting.sequence, "too_large")

    @rule()
    def report(self) -> None:
        self.unanswered += self.epoch.report(NOON, "camera-0")

    @precondition(lambda self: self.unanswered)
    @rule(lost=st.booleans(), data=st.data())
    def answer(self, lost: bool, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.unanswered))
        self.unanswered.remove(entry)
        if lost:
            self.epoch.unreported(entry)
        else:
            self.hear(entry)

    def hear(self, entry: LedgerEntry) -> None:
        assert not self.ended, "an entry came after the closing one"
        self.epoch.reported(entry)
        if entry.closes_epoch:
            self.ended = True
            assert numbers([entry]) == set(range(self.model.offered))
        else:
            told = self.model.told.setdefault(entry.outcome, Counter())
            told.update(numbers([entry], entry.outcome))

    @rule()
    def close(self) -> None:
        self.epoch.close()

    @invariant()
    def nothing_is_told_twice_or_both_ways(self) -> None:
        for told in self.model.told.values():
            assert all(count == 1 for count in told.values())
        shed = set(self.model.told.get("shed", ()))
        assert not shed & self.model.acknowledged
        assert set(self.model.told.get("captured", ())) <= set(range(self.model.offered))

    @override
    def teardown(self) -> None:
        self.epoch.close()
        for waiting in self.model.in_flight:
            self.epoch.acknowledge(waiting.sequence)
            self.model.acknowledged.add(waiting.sequence)
        for waiting in self.epoch.take(100, NOON):
            self.epoch.acknowledge(waiting.sequence)
            self.model.acknowledged.add(waiting.sequence)
        for entry in self.unanswered:
            self.hear(entry)
        while entries := self.epoch.report(NOON, "camera-0"):
            for entry in entries:
                self.hear(entry)
        assert self.epoch.finished
        assert self.ended == (self.model.offered > 0)
        shed = set(self.model.told.get("shed", ()))
        assert shed | self.model.acknowledged == set(range(self.model.offered))
        assert not shed & self.model.acknowledged


TestEpochMachine = EpochMachine.TestCase
