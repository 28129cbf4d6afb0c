from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from camera.domain.epoch import Epoch, Waiting
from camera.domain.ring import Ring, RingLimits
from camera.domain.statistics import Statistics
from mesh.events import FrameCaptured, Lane, LedgerEntry
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
    assert [waiting.sequence for waiting in epoch.take(10)] == [0, 1, 2]
    assert epoch.take(10) == []


def test_no_more_are_taken_than_may_be_in_flight() -> None:
    epoch = an_epoch()
    for _ in range(6):
        epoch.offer(frame)
    assert len(epoch.take(4)) == 4
    assert epoch.take(4) == []
    epoch.acknowledge(0)
    assert [waiting.sequence for waiting in epoch.take(4)] == [4]


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
    epoch.take(3)
    for sequence in (0, 1, 2):
        epoch.give_back(sequence)
    assert [waiting.sequence for waiting in epoch.take(10)] == [0, 1, 2, 3]


def test_a_frame_that_cannot_be_published_is_shed_with_its_reason() -> None:
    epoch = an_epoch()
    epoch.offer(frame)
    epoch.take(1)
    epoch.refuse(0, "too_large")
    epoch.waste("too_large")
    assert numbers(epoch.report(NOON, "camera-0"), "shed") == {0, 1}


def test_what_the_broker_did_not_acknowledge_is_not_told() -> None:
    epoch = an_epoch()
    epoch.offer(frame)
    epoch.take(1)
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
    epoch.take(1)
    assert not epoch.finished
    epoch.acknowledge(0)
    assert not epoch.finished
    (entry,) = epoch.report(NOON, "camera-0")
    assert entry.closes_epoch
    assert epoch.finished
    assert numbers([entry]) == {0}


def test_an_epoch_without_frames_has_nothing_to_tell() -> None:
    epoch = an_epoch()
    epoch.close()
    assert epoch.finished
    assert epoch.report(NOON, "camera-0") == []


def test_entries_that_the_broker_did_not_take_are_told_again() -> None:
    epoch = an_epoch(frames=1)
    for _ in range(3):
        epoch.offer(frame)
    epoch.take(1)
    epoch.acknowledge(2)
    lost = epoch.report(NOON, "camera-0")
    for entry in lost:
        epoch.unreported(entry)
    assert epoch.report(NOON, "camera-0") == lost
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
        self.closed = False

    @rule()
    def offer(self) -> None:
        self.model.offered += self.epoch.offer(frame)

    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.model.in_flight += self.epoch.take(limit)

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

    @rule(lost=st.booleans())
    def report(self, lost: bool) -> None:
        for entry in self.epoch.report(NOON, "camera-0"):
            if lost:
                self.epoch.unreported(entry)
            elif not entry.closes_epoch:
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
        for waiting in self.epoch.take(100):
            self.epoch.acknowledge(waiting.sequence)
            self.model.acknowledged.add(waiting.sequence)
        last = self.epoch.report(NOON, "camera-0")
        assert self.epoch.finished
        shed = set(self.model.told.get("shed", ())) | numbers(last, "shed")
        assert shed | self.model.acknowledged == set(range(self.model.offered))
        assert not shed & self.model.acknowledged


TestEpochMachine = EpochMachine.TestCase
