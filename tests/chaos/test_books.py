"""What the books of a chaos run accept, and what they complain of."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.chaos.books import Facts, Place, look, open_numbers, place_of, row_of

from mesh.events import FrameCaptured, FrameResult, Outcome, Purpose
from mesh.testing import a_frame_captured, a_frame_result, a_sighting


def facts(
    frame: FrameCaptured, claims: dict[str, str], *results: FrameResult, **changes: Any
) -> Facts:
    """A frame with its outcome, and everything that belongs to its results."""
    key = frame.frame.frame_key
    found = [each.detection_id for result in results[:1] for each in result.detections]
    complete = Facts(
        frames={key: frame},
        results={key: results} if results else {},
        snapshots=found,
        letters=[],
        claims={place_of(frame): claims} if claims else {},
        rows={key: found} if found else {},
        links=dict.fromkeys(found, "digest"),
        linked={"digest"} if found else set(),
        objects={"digest": "digest"} if found else {},
        settled={"digest"} if found else set(),
        sightings={},
        written={},
        kept={},
    )
    return replace(complete, **changes)


def problems(*given: Any, **changes: Any) -> list[str]:
    return [problem.partition(":")[0] for problem in look(facts(*given, **changes)).problems]


FRAME = a_frame_captured()
RESULT = replace(a_frame_result(), frame=FRAME.frame)
PROCESSED = {"processed": ""}


def test_a_processed_frame_with_all_that_belongs_to_it_is_in_order() -> None:
    findings = look(facts(FRAME, PROCESSED, RESULT))

    assert findings.problems == []
    assert findings.outcomes == {"processed": 1}


def test_a_result_that_was_published_twice_alike_is_counted_and_no_problem() -> None:
    findings = look(facts(FRAME, PROCESSED, RESULT, RESULT))

    assert (findings.problems, findings.repeated) == ([], 1)


def test_the_copy_of_an_aggregator_that_was_suspended_says_when_it_was_made() -> None:
    *before, last = RESULT.stages
    assert last.stage == "aggregator"
    late = replace(last, instance_id="aggregator-2", ended_at=last.ended_at + timedelta(seconds=8))

    assert problems(FRAME, PROCESSED, RESULT, replace(RESULT, stages=(*before, late))) == []


def test_two_different_results_are_a_problem() -> None:
    other = replace(RESULT, outcome=Outcome.FAILED)

    assert problems(FRAME, PROCESSED, RESULT, other) == ["two results"]


def test_a_frame_that_nobody_claimed_has_no_outcome() -> None:
    assert problems(FRAME, {}) == ["no outcome"]


def test_the_higher_outcome_counts_where_a_frame_was_done_twice() -> None:
    both = {"lost": "crash", "processed": ""}

    assert look(facts(FRAME, both, RESULT)).outcomes == {"processed": 1}


def test_a_processed_frame_needs_a_result_unless_it_is_a_dead_letter() -> None:
    letters = [FRAME.frame.frame_key]

    assert problems(FRAME, {"failed": "poison"}) == ["an outcome but no result"]
    assert problems(FRAME, {"failed": "poison"}, letters=letters) == []


def test_a_shed_surveillance_frame_needs_no_result_but_a_shed_request_does() -> None:
    asked = replace(FRAME, frame=replace(FRAME.frame, purpose=Purpose.PROCESS_FRAME))

    assert problems(FRAME, {"shed": "deadline"}) == []
    assert problems(asked, {"shed": "deadline"}) == ["an outcome but no result"]


def test_a_frame_that_the_broker_had_is_never_lost() -> None:
    assert problems(FRAME, {"lost": "crash"}) == ["lost although the broker had it"]


def test_rows_are_the_detections_of_the_result_each_once() -> None:
    key = FRAME.frame.frame_key
    [first, *_] = [each.detection_id for each in RESULT.detections]

    assert "detections without a row" in problems(FRAME, PROCESSED, RESULT, rows={})
    assert "rows that no result has" in problems(FRAME, PROCESSED, RESULT, rows={key: ["other"]})
    assert "detections with two rows" in problems(
        FRAME, PROCESSED, RESULT, rows={key: [first, first]}
    )


def test_pictures_and_their_rows_belong_together() -> None:
    assert problems(FRAME, PROCESSED, RESULT, objects={}) == ["snapshot rows without an object"]
    assert problems(FRAME, PROCESSED, RESULT, settled={"digest", "other"}) == [
        "objects without a row"
    ]
    assert problems(FRAME, PROCESSED, RESULT, objects={"digest": "else"}) == [
        "objects that are damaged"
    ]
    assert problems(FRAME, PROCESSED, RESULT, links={}) == ["snapshots without a row"]


def test_every_number_from_zero_is_accounted_for() -> None:
    claimed = {Place("cam", 7, 1): {"processed": ""}}

    assert open_numbers({("cam", 7): 2}, claimed) == [Place("cam", 7, 0), Place("cam", 7, 2)]


OPEN = a_sighting()
CLOSED = replace(OPEN, closed=True, revision=2)
NAME = OPEN.sighting_id


def of_sightings(**changes: Any) -> list[str]:
    told = {
        "sightings": {NAME: [OPEN, CLOSED]},
        "written": {NAME: 2},
        "kept": {NAME: row_of(CLOSED)},
    }
    return problems(FRAME, PROCESSED, RESULT, **{**told, **changes})


def test_the_row_of_a_sighting_is_its_highest_revision() -> None:
    assert of_sightings() == []
    assert of_sightings(kept={}) == ["sightings without a row"]
    assert of_sightings(kept={NAME: row_of(OPEN)}) == ["sightings whose row is behind"]


def test_a_row_may_be_ahead_of_what_had_to_be_written() -> None:
    assert of_sightings(written={NAME: 0}) == []
    assert of_sightings(written={}) == []


def test_the_row_of_a_sighting_is_what_was_told_of_it() -> None:
    altered = replace(CLOSED, frame_count=7)

    assert of_sightings(kept={NAME: row_of(altered)}) == ["sightings that their row does not tell"]
    assert of_sightings(sightings={}) == ["rows of no sighting"]


def test_a_revision_that_is_told_again_is_told_alike() -> None:
    other = replace(CLOSED, ended_at=CLOSED.ended_at + timedelta(seconds=1))

    assert of_sightings(sightings={NAME: [OPEN, CLOSED, OPEN, CLOSED]}) == []
    assert of_sightings(sightings={NAME: [OPEN, CLOSED, other]}) == ["sightings told in two ways"]


def test_a_revision_that_nobody_told_is_in_no_row() -> None:
    ahead = replace(CLOSED, revision=3)

    assert of_sightings(kept={NAME: row_of(ahead)}) == ["sightings that their row does not tell"]
