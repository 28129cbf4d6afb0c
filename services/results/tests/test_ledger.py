"""The ledger is the same book for any order, repetition and cut of its entries."""

from dataclasses import replace
from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.events import Outcome, SequenceRange
from mesh.testing import CAMERA_ID, EPOCH, NOON, a_frame_header, a_frame_result
from results.domain.balance import balance
from results.domain.ledger import (
    BLOCK,
    MAX_NUMBERS,
    Book,
    CellKey,
    Entry,
    EpochKey,
    entry_of,
    entry_of_dead_letter,
    entry_of_result,
    first_results,
    fold,
)
from results.domain.numbers import NumberSet

from .stored_events import an_entry

SESSION = EpochKey(CAMERA_ID, EPOCH)
OUTCOMES = ("captured", "processed", "failed", "shed", "lost")


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    first = draw(st.integers(0, 3 * BLOCK))
    return Entry(
        session=EpochKey(draw(st.sampled_from(["cam_a", "cam_b"])), draw(st.integers(1, 2))),
        lane=draw(st.sampled_from(["live", "evidence"])),
        outcome=draw(st.sampled_from(OUTCOMES)),
        reason=draw(st.sampled_from(["", "stale", "full"])),
        numbers=NumberSet.of([(first, first + draw(st.integers(0, BLOCK + 10)))]),
        at=NOON + timedelta(seconds=draw(st.integers(-5, 5))),
        closes=draw(st.booleans()),
        passed=draw(st.booleans()),
    )


@given(st.lists(entries(), max_size=8), st.data())
def test_any_order_repetition_and_cut_gives_the_same_book(
    original: list[Entry], data: st.DataObject
) -> None:
    again = original + data.draw(st.lists(st.sampled_from(original))) if original else []
    shuffled = data.draw(st.permutations(again)) if again else []
    cut = data.draw(st.integers(0, len(shuffled)))
    parts = [fold(shuffled[:cut]), fold(shuffled[cut:])]
    assert reduce(Book.__or__, parts) == fold(original)


@given(st.lists(entries(), max_size=8))
def test_every_captured_number_is_counted_once(original: list[Entry]) -> None:
    book = fold(original)
    captured = {
        key: NumberSet.of([(0, session.highest + 1)]) for key, session in book.sessions.items()
    }
    found = balance(book, captured)
    counted = found.processed + sum(
        sum(by_reason.values()) for by_reason in (found.failed, found.shed, found.lost)
    )
    assert found.captured == counted + found.open


def test_precedence_is_processed_failed_shed_lost() -> None:
    everything = NumberSet.of([(0, 8)])
    claims = {"lost": (0, 7), "shed": (0, 5), "failed": (0, 3), "processed": (0, 1)}
    book = fold(
        Entry(
            session=SESSION,
            lane="live",
            outcome=outcome,
            reason="" if outcome == "processed" else "why",
            numbers=NumberSet.of([numbers]),
            at=NOON,
        )
        for outcome, numbers in claims.items()
    )
    found = balance(book, {SESSION: everything})
    assert (found.captured, found.processed, found.open) == (8, 1, 1)
    assert (found.failed, found.shed, found.lost) == ({"why": 2}, {"why": 2}, {"why": 2})


def test_a_long_range_is_cut_at_the_blocks() -> None:
    book = fold([entry_of(an_entry(ranges=(SequenceRange(first=BLOCK - 1, last=BLOCK),)))])
    assert {key: cell.numbers.ranges for key, cell in book.cells.items()} == {
        CellKey(CAMERA_ID, EPOCH, 0, "shed", "stale"): ((BLOCK - 1, BLOCK),),
        CellKey(CAMERA_ID, EPOCH, 1, "shed", "stale"): ((BLOCK, BLOCK + 1),),
    }


def test_the_last_entry_closes_its_epoch_and_keeps_the_highest_number() -> None:
    closing = an_entry(ranges=(), closes_epoch=True, reported_at=NOON + timedelta(seconds=9))
    session = fold([entry_of(an_entry()), entry_of(closing)]).sessions[SESSION]
    assert (session.highest, session.closed_at) == (9, NOON + timedelta(seconds=9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcome": "vanished"}, "outcome must be one of"),
        ({"ranges": (SequenceRange(first=-1, last=2),)}, "bad range -1..2"),
        ({"ranges": (SequenceRange(first=3, last=2),)}, "bad range 3..2"),
        ({"ranges": (SequenceRange(first=0, last=MAX_NUMBERS),)}, "limit 1048576"),
    ],
)
def test_an_entry_out_of_bounds_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entry_of(an_entry(**changes))


def test_a_result_claims_its_frame() -> None:
    failed = a_frame_result(outcome=Outcome.FAILED, reason="unreadable_image", detections=())
    assert entry_of_result(failed).reason == "unreadable_image"
    processed = entry_of_result(a_frame_result(reason="ignored"))
    assert (processed.outcome, processed.reason) == ("processed", "")
    assert processed.numbers == NumberSet.single(0)


def test_the_first_result_of_a_frame_wins_and_a_correction_is_none() -> None:
    zero, one, two = (
        a_frame_result(frame=a_frame_header(sequence_number=number)) for number in range(3)
    )
    correction = replace(one, revision=1)
    claimed = {SESSION: NumberSet.single(2)}
    assert first_results([zero, zero, correction, one, two], claimed) == [zero]


def test_only_a_result_tells_how_far_frames_went() -> None:
    session = fold(
        [
            entry_of(an_entry()),
            entry_of_result(a_frame_result(frame=a_frame_header(sequence_number=4))),
            entry_of_result(a_frame_result(frame=a_frame_header(sequence_number=3))),
        ]
    ).sessions[SESSION]
    assert (session.highest, session.through) == (9, 4)
    assert session.through_at == a_frame_header().received_timestamp


def a_letter(**changes: bytes | None) -> dict[str, bytes]:
    headers: dict[str, bytes | None] = {
        "camera-id": CAMERA_ID.encode(),
        "epoch": str(EPOCH).encode(),
        "sequence-number": b"7",
        "lane": b"live",
        "reason": b"poison: ended its process 2 times",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize(
    ("reason", "booked"),
    [
        (b"poison: ended its process", "poison"),
        (b"unstorable", "unstorable"),
        (b"The picture is too large", "rejected"),
        (None, "rejected"),
    ],
)
def test_a_dead_letter_claims_that_its_frame_failed(reason: bytes | None, booked: str) -> None:
    entry = entry_of_dead_letter(a_letter(reason=reason), NOON)
    assert entry is not None
    assert (entry.session, entry.lane, entry.outcome) == (SESSION, "live", "failed")
    assert (entry.reason, entry.numbers, entry.passed) == (booked, NumberSet.single(7), False)


def test_a_dead_letter_that_names_no_frame_claims_nothing() -> None:
    assert entry_of_dead_letter({"reason": b"undecodable: no record"}, NOON) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence_number": b"x"},
        {"sequence_number": b"-1"},
        {"epoch": str(1 << 63).encode()},
        {"lane": b"fast"},
        {"camera_id": b"cam\x00"},
        {"camera_id": b"\xff"},
    ],
)
def test_a_dead_letter_with_other_headers_is_refused(changes: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        entry_of_dead_letter(a_letter(**changes), NOON)
