"""A number is lost only once it can no longer arrive, whatever comes in whatever order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.events import Lane
from mesh.partitioning import partition_of
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, NOON
from results.domain.balance import Balance, balance
from results.domain.gaps import Missing, OffsetGap, gap_event, gap_of, reasons
from results.domain.ledger import BLOCK, Book, Cell, CellKey, Entry, EpochKey, fold
from results.domain.numbers import NumberSet
from results.domain.sweep import (
    MOST_LOST,
    BlockSpan,
    Remainder,
    SweepPolicy,
    Verdict,
    Watch,
    judge,
)

SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
)  # fmt: skip
POLICY = SweepPolicy(
    lanes={
        Lane.LIVE: 10 * MINUTE,
        Lane.REQUEST: 10 * MINUTE,
        Lane.URGENT: 10 * MINUTE,
        Lane.EVIDENCE: 3 * DAY,
    },
    downstream=2 * HOUR,
    partitions=4,
)


def claim(outcome: str, first: int, last: int, at: timedelta, **changes: Any) -> Entry:
    return Entry(
        session=EpochKey(CAMERA_ID, changes.get("epoch", 1)),
        lane=changes.get("lane", Lane.LIVE),
        outcome=outcome,
        reason="" if outcome in {"captured", "processed"} else changes.get("reason", "why"),
        numbers=NumberSet.of([(first, last + 1)]),
        at=NOON + at,
        closes=changes.get("closes", False),
        passed=outcome == "processed",
    )


@dataclass
class Ledger:
    """What the tables hold, and sweeps of it."""

    book: Book = field(default_factory=lambda: Book({}, {}))
    watches: dict[EpochKey, Watch] = field(default_factory=dict)
    settled: set[EpochKey] = field(default_factory=set)
    gaps: Sequence[OffsetGap] = ()

    def add(self, *entries: Entry) -> "Ledger":
        before = {key: session.highest for key, session in self.book.sessions.items()}
        self.book |= fold(entries)
        for key, session in self.book.sessions.items():
            if session.highest > before.get(key, -1):
                self.settled.discard(key)
        return self

    def sweep(self, at: timedelta) -> dict[EpochKey, Verdict]:
        now = NOON + at
        found = {}
        for key, session in self.book.sessions.items():
            if key in self.settled:
                continue
            watch = replace(
                self.watches.get(key, Watch(key=key, session=session)),
                session=session,
                stream_at=self._stream_at(key, session.lane),
                next_opened_at=self._next(key, session.lane),
            )
            rest = self._rest(watch)
            found[key] = verdict = judge(watch, rest, POLICY, until=now, now=now)
            self.watches[key] = verdict.after
            self._lose(verdict, watch, rest)
            if verdict.settled:
                self.settled.add(key)
        return found

    def lost(self, *times: timedelta, epoch: int = 1) -> NumberSet:
        """What sweeps at these times call lost."""
        found = NumberSet()
        for at in times:
            verdict = self.sweep(at).get(EpochKey(CAMERA_ID, epoch))
            found |= verdict.lost if verdict else NumberSet()
        return found

    def balance(self) -> Balance:
        captured = {
            key: NumberSet.of([(0, session.highest + 1)])
            for key, session in self.book.sessions.items()
        }
        return balance(self.book, captured)

    def _lose(self, verdict: Verdict, watch: Watch, rest: Remainder) -> None:
        for reason, numbers in reasons(watch, verdict.lost, rest.spans, self.gaps, POLICY):
            for block, part in numbers.blocks(BLOCK):
                key = CellKey(*watch.key, block, "lost", reason)
                session = watch.session
                cell = Cell(part, session.lane, session.first_at, session.last_at)
                self.book |= Book({key: cell}, {})

    def _rest(self, watch: Watch) -> Remainder:
        cells = [
            (key, cell)
            for key, cell in self.book.cells.items()
            if key[:2] == watch.key and key.block >= watch.balanced_below // BLOCK
        ]
        spans = []
        for block in sorted({key.block for key, _ in cells}):
            mine = [(key.outcome, cell) for key, cell in cells if key.block == block]
            told = [cell for outcome, cell in mine if outcome == "captured"]
            told = told or [cell for _, cell in mine]
            spans.append(
                BlockSpan(
                    block,
                    min(cell.first_at for cell in told),
                    max(cell.last_at for cell in told),
                    max(cell.last_at for _, cell in mine),
                )
            )
        known = NumberSet.of([(watch.balanced_below, watch.session.highest + 1)])
        claims = (c.numbers.ranges for key, c in cells if key.outcome != "captured")
        return Remainder(known - NumberSet.of(r for ranges in claims for r in ranges), spans)

    def _stream_at(self, key: EpochKey, lane: str) -> datetime | None:
        times = [
            session.through_at
            for other, session in self.book.sessions.items()
            if other.camera_id == key.camera_id and session.lane == lane and session.through_at
        ]
        return max(times, default=None)

    def _next(self, key: EpochKey, lane: str) -> datetime | None:
        later = [
            (other.epoch, session.first_at)
            for other, session in self.book.sessions.items()
            if other.camera_id == key.camera_id and session.lane == lane and other > key
        ]
        return min(later)[1] if later else None


def hole(**changes: Any) -> Ledger:
    """Ten frames of which the fifth never went through."""
    return Ledger().add(
        claim("captured", 0, 9, 2 * SECOND, **changes),
        claim("processed", 0, 3, 2 * SECOND, **changes),
        claim("processed", 5, 9, 2 * SECOND, **changes),
    )


def test_a_number_that_later_ones_overtook_is_lost_after_a_grace() -> None:
    ledger = hole()
    assert not ledger.lost(3 * SECOND, 30 * SECOND, 62 * SECOND)
    assert ledger.lost(64 * SECOND) == NumberSet.single(4)
    assert ledger.balance() == Balance(10, 9, lost={"crash": 1})


def test_a_number_that_comes_within_the_grace_is_not_lost() -> None:
    ledger = hole()
    ledger.sweep(3 * SECOND)
    ledger.add(claim("shed", 4, 4, 40 * SECOND))
    assert not ledger.lost(64 * SECOND)
    assert ledger.watches[EpochKey(CAMERA_ID, 1)].mark is None


def test_a_late_claim_overrides_and_settles_the_epoch() -> None:
    ledger = hole()
    assert ledger.lost(3 * SECOND, 64 * SECOND)
    ledger.add(claim("processed", 4, 4, 2 * SECOND))
    ledger.sweep(11 * MINUTE)
    assert ledger.balance() == Balance(10, 10)
    assert ledger.settled


def test_what_a_camera_gave_up_itself_overtakes_nothing() -> None:
    ledger = Ledger().add(claim("captured", 0, 99, 10 * SECOND), claim("shed", 50, 99, 10 * SECOND))
    assert not ledger.lost(*(n * 30 * SECOND for n in range(1, 100)))
    assert ledger.balance() == Balance(100, shed={"why": 50}, open=50)


def test_nothing_is_lost_while_a_stage_is_down_for_minutes() -> None:
    ledger = Ledger().add(claim("captured", 0, 9, SECOND), claim("processed", 0, 9, SECOND))
    for second in range(10, 310, 10):  # the camera goes on
        ledger.add(claim("captured", second, second + 9, second * SECOND))
        assert not ledger.lost(second * SECOND)
    # detection is back: old frames are given up at once, the newest comes through
    ledger.add(claim("shed", 10, 308, 311 * SECOND))
    ledger.add(claim("processed", 309, 309, 300 * SECOND))
    assert not ledger.lost(312 * SECOND, 400 * SECOND)
    assert ledger.balance() == Balance(310, 11, shed={"why": 299})


def test_evidence_is_waited_for_as_long_as_its_topics_keep_it() -> None:
    ledger = Ledger().add(claim("captured", 0, 9, SECOND, lane=Lane.EVIDENCE, closes=True))
    assert not ledger.lost(*(n * HOUR for n in range(74)))
    ledger.sweep(4 * DAY)
    assert len(ledger.lost(4 * DAY + HOUR)) == 10


def test_what_no_topic_holds_any_more_is_lost_even_while_the_epoch_goes_on() -> None:
    ledger = Ledger().add(claim("captured", 0, BLOCK - 1, SECOND))
    for hours in range(1, 4):
        ledger.add(claim("captured", hours * BLOCK, (hours + 1) * BLOCK - 1, hours * HOUR))
    lost = ledger.lost(3 * HOUR, 3 * HOUR + 2 * MINUTE)
    assert lost == NumberSet.of([(0, BLOCK)])


def test_the_end_of_an_epoch_is_lost_once_a_later_epoch_came_through() -> None:
    ledger = Ledger().add(
        claim("captured", 0, 9, SECOND),
        claim("processed", 0, 7, SECOND),
        claim("captured", 0, 9, 30 * SECOND, epoch=2),
        claim("processed", 0, 9, 30 * SECOND, epoch=2),
    )
    assert not ledger.lost(31 * SECOND, 100 * SECOND), "it may have been published meanwhile"
    ledger.add(claim("processed", 10, 10, 62 * SECOND, epoch=2))
    assert ledger.lost(101 * SECOND, 170 * SECOND) == NumberSet.of([(8, 10)])


def test_a_frame_that_an_owner_held_back_is_not_lost_at_once() -> None:
    ledger = Ledger().add(
        claim("captured", 0, 9, SECOND),
        claim("processed", 0, 9, SECOND),
        claim("processed", 0, 99, 5 * MINUTE, epoch=2),
    )
    ledger.sweep(5 * MINUTE)
    ledger.add(claim("captured", 0, 19, 6 * MINUTE))  # the suspended owner sends what it had
    assert not ledger.lost(6 * MINUTE + SECOND, 8 * MINUTE)


@pytest.mark.parametrize(
    ("ending", "at"),
    [
        ([], 10 * MINUTE + SECOND),
        ([claim("captured", 0, 0, 5 * SECOND, epoch=2)], 5 * SECOND),
    ],
)
def test_an_epoch_is_over_after_silence_or_by_a_later_one(
    ending: list[Entry], at: timedelta
) -> None:
    ledger = Ledger().add(claim("processed", 0, 3, SECOND), *ending)
    key = EpochKey(CAMERA_ID, 1)
    verdict = ledger.sweep(11 * MINUTE)[key]
    assert verdict.after.ended_at == NOON + at
    assert verdict.settled


def test_gateways_do_not_close_each_others_epochs() -> None:
    ledger = Ledger().add(
        claim("processed", 0, 3, SECOND, lane=Lane.REQUEST),
        claim("processed", 0, 3, 2 * SECOND, lane=Lane.REQUEST, epoch=2),
    )
    assert not any(verdict.settled for verdict in ledger.sweep(MINUTE).values())


def test_an_epoch_that_its_source_closed_is_settled_once_it_balances() -> None:
    ledger = Ledger().add(claim("captured", 0, 9, SECOND, closes=True))
    assert not ledger.sweep(2 * SECOND)[EpochKey(CAMERA_ID, 1)].settled
    ledger.add(claim("processed", 0, 9, SECOND))
    assert ledger.sweep(3 * SECOND)[EpochKey(CAMERA_ID, 1)].settled
    assert ledger.sweep(4 * SECOND) == {}


def test_the_oldest_open_number_is_dated_by_its_place() -> None:
    ledger = Ledger().add(
        claim("captured", 0, 0, SECOND), claim("captured", 100, 100, 101 * SECOND)
    )
    ledger.add(claim("processed", 0, 49, SECOND))
    verdict = ledger.sweep(102 * SECOND)[EpochKey(CAMERA_ID, 1)]
    assert verdict.oldest_open_at == NOON + 51 * SECOND
    assert verdict.open == NumberSet.of([(50, 101)])


MINE = partition_of(CAMERA_ID, POLICY.partitions)


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        (OffsetGap("frames.live", MINE, NOON, NOON + MINUTE), "retention"),
        (OffsetGap("detections", MINE, NOON + 30 * MINUTE, NOON + HOUR), "retention"),
        (OffsetGap("frames.live", MINE, None, None), "retention"),
        (OffsetGap("results", MINE, None, NOON + HOUR), "retention"),
        (OffsetGap("frames.live", (MINE + 1) % 4, NOON, NOON + MINUTE), "crash"),
        (OffsetGap("frames.request", MINE, NOON, NOON + MINUTE), "crash"),
        (OffsetGap("frames.live", MINE, NOON - HOUR, NOON - 30 * MINUTE), "crash"),
        (OffsetGap("frames.live", MINE, NOON + HOUR, NOON + 2 * HOUR), "crash"),
    ],
)
def test_a_loss_is_due_to_retention_if_a_consumer_met_a_gap_there(
    gap: OffsetGap, reason: str
) -> None:
    ledger = hole()
    ledger.gaps = [gap]
    ledger.lost(3 * SECOND, 64 * SECOND)
    assert ledger.balance().lost == {reason: 1}


def test_of_several_reasons_the_source_knows_best_and_crash_is_a_guess() -> None:
    ledger = hole()
    ledger.lost(3 * SECOND, 64 * SECOND)
    ledger.add(claim("lost", 4, 4, SECOND, reason="retention"))
    assert ledger.balance().lost == {"retention": 1}
    ledger.add(claim("lost", 4, 4, SECOND, reason="unacknowledged"))
    assert ledger.balance().lost == {"unacknowledged": 1}


def test_a_gap_is_read_from_its_event_and_nonsense_is_not() -> None:
    missing = Missing(TopicPartition("s.results", 3), 5, 9, NOON)
    event = gap_event(missing, NOON + HOUR, "writer-1")
    assert gap_of(event.attributes, NOON + HOUR, "s.") == OffsetGap("results", 3, None, NOON)
    local = {"topic": "s.ledger", "partition": "0", "since": "2026-01-01T12:00:00"}
    assert gap_of(local, NOON + HOUR, "s.") == OffsetGap("ledger", 0, NOON, NOON + HOUR)
    assert gap_of({"topic": "s.ledger"}, NOON, "s.") is None
    assert gap_of({"topic": "x", "partition": "one"}, NOON, "s.") is None


def test_a_source_that_counts_nonsense_does_not_stop_the_sweep() -> None:
    ledger = Ledger().add(claim("processed", 1 << 60, 1 << 60, SECOND))
    assert len(ledger.lost(2 * SECOND, 63 * SECOND)) == MOST_LOST


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """What two cameras' frames may leave behind, in the order in which it happened."""
    entries = []
    for _ in range(draw(st.integers(1, 14))):
        outcome = draw(st.sampled_from(["captured", "processed", "failed", "shed", "lost"]))
        first = draw(st.integers(0, 2 * BLOCK))
        entries.append(
            Entry(
                session=EpochKey(
                    draw(st.sampled_from(["cam_a", "cam_b"])), draw(st.integers(1, 2))
                ),
                lane=Lane.LIVE,
                outcome=outcome,
                reason="" if outcome in {"captured", "processed"} else draw(st.sampled_from("xy")),
                numbers=NumberSet.of([(first, first + draw(st.integers(1, BLOCK)))]),
                at=NOON + draw(st.integers(0, 7200)) * SECOND,
                closes=outcome == "captured" and draw(st.booleans()),
                passed=outcome == "processed",
            )
        )
    return entries


def parts(entry: Entry) -> Iterable[Entry]:
    """The claim, cut at the blocks."""
    for _, numbers in entry.numbers.blocks(BLOCK):
        yield replace(entry, numbers=numbers)


@settings(deadline=None)
@given(histories(), st.data())
def test_any_order_repetition_cut_and_any_sweeps_fold_to_the_same_book(
    entries: list[Entry], data: st.DataObject
) -> None:
    calm, wild = Ledger().add(*entries), Ledger()
    again = entries + data.draw(st.lists(st.sampled_from(entries)))
    at = timedelta(0)
    for entry in data.draw(st.permutations(again)):
        wild.add(*(parts(entry) if data.draw(st.booleans()) else [entry]))
        at += data.draw(st.integers(0, 1800)) * SECOND
        if data.draw(st.booleans()):
            wild.sweep(at)
            found = wild.balance()
            claimed = sum(sum(r.values()) for r in (found.failed, found.shed, found.lost))
            assert found.captured == found.processed + claimed + found.open
    for ledger in (calm, wild):
        for days in (30, 31):
            ledger.sweep(days * DAY)
    assert wild.balance() == calm.balance()
    assert wild.balance().open == 0
    assert wild.settled == calm.settled == set(wild.book.sessions)


@settings(deadline=None)
@given(histories(), st.lists(st.integers(0, 7200), max_size=5))
def test_a_sweep_takes_nothing_that_is_claimed(entries: list[Entry], times: list[int]) -> None:
    ledger = Ledger().add(*entries)
    before = ledger.balance()
    for at in sorted(times):
        ledger.sweep(at * SECOND)
    after = ledger.balance()
    assert (after.captured, after.processed) == (before.captured, before.processed)
    assert (after.failed, after.shed) == (before.failed, before.shed)
    assert before.open - after.open == sum(after.lost.values()) - sum(before.lost.values())
