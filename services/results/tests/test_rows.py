"""Rows carry an event's fields, and nothing of a person who was erased."""

import json

import pytest

from mesh.events import Outcome
from mesh.testing import (
    PERSON_ID,
    a_candidate,
    a_decision,
    a_frame_result,
    a_person,
    a_record,
    a_result_detection,
    a_sighting,
)
from results.domain.changes import changes_of
from results.domain.rows import detection_rows, event_row, newest, persons_in, without_persons

from .stored_events import a_result, a_snapshot


def test_a_detection_row_is_json_with_the_frame_and_the_decision() -> None:
    (row,) = detection_rows(a_frame_result())
    assert json.loads(json.dumps(row)) == row
    assert row["received_at"] == "2026-01-01T12:00:00+00:00"
    assert (row["x1"], row["person_id"], row["threshold"]) == (100.0, PERSON_ID, 0.5)
    assert row["stages"][0]["stage"] == "camera"


def test_a_detection_without_a_decision_has_no_person() -> None:
    (row,) = detection_rows(a_frame_result(detections=(a_result_detection(decision=None),)))
    assert (row["person_id"], row["similarity"], row["decision"]) == (None, None, None)
    assert persons_in([row]) == set()
    assert without_persons([row], {PERSON_ID}) == [row]


def test_the_highest_revision_stays_and_the_first_of_equals() -> None:
    rows = [event_row(a_sighting(revision=r, frame_count=n)) for n, r in enumerate((1, 2, 2, 0))]
    assert [row["frame_count"] for row in newest(rows, "sighting_id")] == [1]
    assert [row["frame_count"] for row in newest(rows, "sighting_id", None)] == [0]


def test_an_erased_person_is_neither_match_nor_candidate() -> None:
    other = a_candidate(person_id="per_other", similarity=0.4)
    decision = a_decision(candidates=(a_candidate(), other))
    rows = detection_rows(a_frame_result(detections=(a_result_detection(decision=decision),)))
    assert persons_in(rows) == {PERSON_ID, "per_other"}
    (row,) = without_persons(rows, {PERSON_ID})
    assert row["person_id"] is None
    assert row["decision"]["identified"] is False
    assert persons_in([row]) == {"per_other"}
    (kept,) = without_persons(rows, {"per_other"})
    assert kept["decision"]["person_id"] == PERSON_ID
    assert without_persons(rows, ()) == rows


def test_frames_that_were_not_processed_are_only_ledger_entries() -> None:
    shed = a_result(0, outcome=Outcome.SHED, reason="stale")
    changes = changes_of([("results", a_record(shed))])
    assert changes.results == []
    assert [(entry.outcome, entry.reason) for entry in changes.entries] == [("shed", "stale")]


@pytest.mark.parametrize(
    ("topic", "record", "message"),
    [
        ("results", a_record(None, key="cam"), "a tombstone means nothing on results"),
        ("results", a_record(a_result(-1)), "frame.sequence_number must be >= 0"),
        ("persons", a_record(a_person(), key="per_other"), "differs from the record's key"),
    ],
)
def test_a_record_out_of_bounds_is_refused_by_name(
    topic: str, record: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        changes_of([(topic, record)])  # type: ignore[list-item]  # records of several events


def test_the_picture_is_no_column() -> None:
    changes = changes_of([("snapshots", a_record(a_snapshot(a_result(0)), key="cam"))])
    assert changes.snapshots[0]["size_bytes"] == len(a_snapshot(a_result(0)).image)
    assert "image" not in changes.snapshots[0]
