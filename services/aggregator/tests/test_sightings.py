"""Faces become sightings."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.domain.followed import SightingPolicy
from aggregator.domain.sightings import (
    Change,
    Feed,
    FeedState,
    best_among,
    close_silent,
    follow,
    has_open,
    is_late,
    told_by,
)
from mesh.events import FrameRecognized, RecognizedFace, Sighting
from mesh.identity import derived_id, detection_id, frame_key
from mesh.testing import (
    CAMERA_ID,
    EPOCH,
    NOON,
    a_decision,
    a_detected_face,
    a_frame_header,
    a_frame_recognized,
    a_quality,
    a_recognized_face,
)

POLICY = SightingPolicy()
ADA, BOB = "per_ada", "per_bob"


def a_seen_face(
    track: str | None = "trk_0",
    person: str | None = None,
    *,
    quality: float = 0.5,
    chip: bool = True,
    similarity: float = 0.8,
) -> RecognizedFace:
    """A face that `a_frame` will give its place in the frame."""
    decision = a_decision(
        identified=person is not None, person_id=person, similarity=similarity, reason="matched"
    )
    face = a_detected_face(track_id=track, quality=a_quality(score=quality))
    return a_recognized_face(
        face=face if chip else replace(face, chip=None), decision=decision, embedding=None
    )


def a_frame(
    number: int, *faces: RecognizedFace, at: float | None = None, epoch: int = EPOCH
) -> FrameRecognized:
    """Frame `number` of the camera, `at` seconds after noon; one frame a second unless given."""
    moment = NOON + timedelta(seconds=number if at is None else at)
    header = a_frame_header(
        epoch=epoch, sequence_number=number, camera_timestamp=moment, received_timestamp=moment
    )
    placed = tuple(
        replace(
            found,
            face=replace(
                found.face, index=index, detection_id=detection_id(header.frame_key, index)
            ),
        )
        for index, found in enumerate(faces)
    )
    return a_frame_recognized(frame=header, faces=placed)


def run(*frames: FrameRecognized, state: FeedState | None = None) -> tuple[FeedState, list[Change]]:
    state = state or FeedState()
    changes = []
    for frame in frames:
        assert not is_late(state, Feed.STREAM, frame.frame)
        change = follow(state, Feed.STREAM, frame, POLICY)
        changes.append(change)
        state = change.state
    return state, changes


def told(*frames: FrameRecognized, state: FeedState | None = None) -> list[Sighting]:
    _, changes = run(*frames, state=state)
    return [sighting for change in changes for sighting in change.told]


def facts(state: FeedState) -> list[Sighting]:
    return [item.facts for item in state.followed]


def test_a_track_opens_a_sighting_named_after_its_first_frame_and_face() -> None:
    (sighting,) = told(a_frame(4, a_seen_face()))
    assert sighting.sighting_id == derived_id("sgt", frame_key(CAMERA_ID, EPOCH, 4), 0)
    assert (sighting.person_id, sighting.revision, sighting.closed) == (None, 0, False)
    assert sighting.track_ids == ("trk_0",)
    assert sighting.frame_count == 1


def test_a_track_goes_on_in_its_sighting() -> None:
    state, _ = run(a_frame(0, a_seen_face()), a_frame(1, a_seen_face()))
    (sighting,) = facts(state)
    assert sighting.frame_count == 2
    assert sighting.ended_at == NOON + timedelta(seconds=1)


def test_two_tracks_are_two_sightings() -> None:
    state, _ = run(a_frame(0, a_seen_face("a"), a_seen_face("b")))
    assert len(facts(state)) == 2


def test_tracks_of_one_person_within_the_gap_are_one_sighting() -> None:
    state, _ = run(a_frame(0, a_seen_face("a", ADA)), a_frame(1, a_seen_face("b", ADA), at=9))
    (sighting,) = facts(state)
    assert sighting.track_ids == ("a", "b")


def test_a_person_is_followed_without_a_track() -> None:
    state, _ = run(a_frame(0, a_seen_face(None, ADA)), a_frame(1, a_seen_face(None, ADA)))
    assert [sighting.frame_count for sighting in facts(state)] == [2]


def test_a_face_without_track_and_person_is_not_followed() -> None:
    assert told(a_frame(0, a_seen_face(None))) == []


def test_an_unknown_track_that_is_identified_takes_the_person_at_once() -> None:
    first, second = told(
        a_frame(0, a_seen_face()), a_frame(1, a_seen_face(person=ADA, similarity=0.7), at=0.2)
    )
    assert second.sighting_id == first.sighting_id
    assert (second.person_id, second.revision, second.best_similarity) == (ADA, 1, 0.7)


def test_a_known_track_keeps_its_person_while_the_face_is_unclear() -> None:
    state, _ = run(a_frame(0, a_seen_face(person=ADA)), a_frame(1, a_seen_face()))
    assert [sighting.person_id for sighting in facts(state)] == [ADA]


def test_a_track_that_turns_out_to_be_somebody_else_is_another_sighting() -> None:
    state, _ = run(a_frame(0, a_seen_face(person=ADA)), a_frame(1, a_seen_face(person=BOB)))
    assert [sighting.person_id for sighting in facts(state)] == [ADA, BOB]
    state, _ = run(a_frame(2, a_seen_face()), state=state)
    assert [sighting.frame_count for sighting in facts(state)] == [1, 2]


def test_an_unknown_track_joins_the_sighting_that_its_person_has() -> None:
    state, _ = run(
        a_frame(0, a_seen_face("a", ADA), a_seen_face("b")),
        a_frame(1, a_seen_face("b", ADA)),
        a_frame(2, a_seen_face("b")),
    )
    ada, unknown = facts(state)
    assert (ada.track_ids, ada.frame_count) == (("a", "b"), 3)
    assert unknown.frame_count == 1


def test_two_faces_of_a_frame_are_never_one_sighting() -> None:
    state, _ = run(
        a_frame(0, a_seen_face("a", ADA)),
        a_frame(1, a_seen_face("a"), a_seen_face("b", ADA)),
    )
    ada, unknown = facts(state)
    assert ada.track_ids == ("a", "b")
    assert unknown.person_id is None
    assert unknown.track_ids == ("a",)


def test_the_same_track_number_of_another_epoch_is_another_track() -> None:
    state, _ = run(a_frame(0, a_seen_face()), a_frame(0, a_seen_face(), at=1, epoch=EPOCH + 4096))
    assert len(facts(state)) == 2


def test_a_person_goes_on_over_a_reconnection() -> None:
    state, _ = run(
        a_frame(7, a_seen_face(person=ADA)),
        a_frame(0, a_seen_face(person=ADA), at=9, epoch=EPOCH + 4096),
    )
    assert [sighting.frame_count for sighting in facts(state)] == [2]


def test_a_sighting_closes_once_its_face_was_away_for_longer_than_the_gap() -> None:
    emitted = told(a_frame(0, a_seen_face()), a_frame(1, at=10), a_frame(2, at=10.2))
    assert [sighting.closed for sighting in emitted] == [False, True]
    assert emitted[-1].ended_at == NOON
    assert emitted[-1].revision == 1


def test_a_face_that_returns_after_the_gap_is_a_new_sighting() -> None:
    emitted = told(a_frame(0, a_seen_face(person=ADA)), a_frame(1, a_seen_face(person=ADA), at=11))
    assert [(each.closed, each.revision) for each in emitted] == [
        (False, 0),
        (True, 1),
        (False, 0),
    ]
    assert emitted[0].sighting_id != emitted[2].sighting_id


def test_updates_are_told_at_most_once_per_second_of_event_time() -> None:
    emitted = told(*(a_frame(number, a_seen_face(), at=number / 5) for number in range(26)))
    assert [sighting.revision for sighting in emitted] == [0, 1, 2, 3, 4, 5]
    assert [sighting.frame_count for sighting in emitted] == [1, 6, 11, 16, 21, 26]


def test_silence_closes_with_the_event_time_of_the_last_frame() -> None:
    state, _ = run(a_frame(0, a_seen_face()), a_frame(1, a_seen_face(), at=0.5))
    change = close_silent(state)
    (sighting,) = change.told
    assert (sighting.closed, sighting.revision, sighting.frame_count) == (True, 1, 2)
    assert sighting.ended_at == NOON + timedelta(seconds=0.5)
    assert not has_open(change.state)
    assert told_by(change.state, None) == change.told
    assert close_silent(change.state).told == ()


def test_a_face_within_the_gap_reopens_what_silence_had_closed() -> None:
    state, _ = run(a_frame(0, a_seen_face()))
    closed = close_silent(state)
    (reopened,) = told(a_frame(1, a_seen_face(), at=8), state=closed.state)
    assert reopened.sighting_id == closed.told[0].sighting_id
    assert (reopened.closed, reopened.revision) == (False, closed.told[0].revision + 1)


def test_a_face_after_the_gap_leaves_closed_what_silence_had_closed() -> None:
    state, _ = run(a_frame(0, a_seen_face()))
    closed = close_silent(state)
    (opened,) = told(a_frame(1, a_seen_face(), at=12), state=closed.state)
    assert opened.sighting_id != closed.told[0].sighting_id


def test_late_is_behind_the_newest_of_its_epoch_or_of_a_connection_that_is_over() -> None:
    state, _ = run(a_frame(5))
    assert is_late(state, Feed.STREAM, a_frame(4).frame)
    assert is_late(state, Feed.STREAM, a_frame(9, epoch=EPOCH - 1).frame)
    assert not is_late(state, Feed.STREAM, a_frame(6, at=-999).frame)
    assert not is_late(state, Feed.STREAM, a_frame(0, epoch=EPOCH + 1).frame)


def test_pushed_frames_of_one_gateway_do_not_make_those_of_another_late() -> None:
    newer = a_frame(3, epoch=EPOCH + 1)
    state = follow(FeedState(), Feed.PUSHED, newer, POLICY).state
    assert not is_late(state, Feed.PUSHED, a_frame(0).frame)
    state = follow(state, Feed.PUSHED, a_frame(0), POLICY).state
    assert is_late(state, Feed.PUSHED, a_frame(0).frame)
    assert is_late(state, Feed.PUSHED, a_frame(2, epoch=EPOCH + 1).frame)


def test_the_best_picture_changes_only_for_a_clearly_better_one() -> None:
    state, changes = run(
        a_frame(0, a_seen_face(quality=0.5)),
        a_frame(1, a_seen_face(quality=0.55)),
        a_frame(2, a_seen_face(quality=0.7)),
    )
    assert [len(change.best) for change in changes] == [1, 0, 1]
    (sighting,) = facts(state)
    assert sighting.best_quality == 0.7
    assert sighting.best_detection_id == changes[2].best[0][1].face.detection_id
    again = a_frame(2, a_seen_face(quality=0.7))
    assert best_among(state, again.faces) == changes[2].best
    assert best_among(state, a_frame(0, a_seen_face()).faces) == ()


def test_a_face_with_a_picture_is_better_than_one_without() -> None:
    state, changes = run(
        a_frame(0, a_seen_face(quality=0.9, chip=False)),
        a_frame(1, a_seen_face(quality=0.3)),
        a_frame(2, a_seen_face(quality=0.99, chip=False)),
    )
    assert [len(change.best) for change in changes] == [1, 1, 0]
    assert facts(state)[0].best_quality == 0.3


def test_closed_sightings_are_forgotten_after_a_minute_and_not_before() -> None:
    state, _ = run(a_frame(0, a_seen_face()), a_frame(1, at=7200))
    assert [sighting.closed for sighting in facts(state)] == [True]
    state, _ = run(a_frame(2, at=7260), state=state)
    assert len(facts(state)) == 1
    state, _ = run(a_frame(3, at=7261), state=state)
    assert facts(state) == []


def test_a_crowd_beyond_the_limit_closes_the_longest_silent() -> None:
    policy = replace(POLICY, max_open=3, max_kept=6)
    state = FeedState()
    sightings: list[Sighting] = []
    for number in range(12):
        frame = a_frame(number, a_seen_face(f"trk_{number}"), at=number / 10)
        change = follow(state, Feed.STREAM, frame, policy)
        state, sightings = change.state, [*sightings, *change.told]
    assert sum(not sighting.closed for sighting in facts(state)) == 3
    assert len(facts(state)) == 6
    assert sum(sighting.closed for sighting in sightings) == 9


def test_a_full_feed_forgets_only_what_is_settled_and_opens_nothing_meanwhile() -> None:
    policy = replace(POLICY, max_open=2, max_kept=3)
    state, settled = FeedState(), False
    opened: set[str] = set()
    for number in range(5):
        frame = a_frame(number, a_seen_face(f"trk_{number}"), at=number / 10)
        change = follow(state, Feed.STREAM, frame, policy, lambda _: settled)
        state = change.state
        opened |= {sighting.sighting_id for sighting in change.told}
    assert len(opened) == len(facts(state)) == 3
    settled = True
    frame = a_frame(5, a_seen_face("trk_5"), at=0.6)
    change = follow(state, Feed.STREAM, frame, policy, lambda _: settled)
    assert len(facts(change.state)) == 3
    assert {sighting.sighting_id for sighting in change.told} - opened


def test_what_was_told_a_moment_ago_is_not_forgotten_however_late_it_is() -> None:
    state, _ = run(a_frame(0, a_seen_face()), a_frame(1, at=20))
    held = follow(state, Feed.STREAM, a_frame(2, at=7200), POLICY, lambda _: False).state
    assert facts(held) == facts(state)
    assert facts(follow(held, Feed.STREAM, a_frame(3, at=7201), POLICY).state) == []


def test_a_sighting_names_its_newest_tracks() -> None:
    state, _ = run(*(a_frame(each, a_seen_face(f"trk_{each}", ADA)) for each in range(30)))
    (sighting,) = facts(state)
    assert sighting.track_ids == tuple(f"trk_{number}" for number in range(6, 30))


@pytest.mark.parametrize(
    "changes",
    [{"gap": timedelta(0)}, {"keep_closed": timedelta(seconds=1)}, {"max_kept": 256}],
)
def test_a_policy_that_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        SightingPolicy(**changes)


FACES = st.lists(
    st.builds(
        a_seen_face,
        st.sampled_from([None, "a", "b", "c"]),
        st.sampled_from([None, None, ADA, BOB]),
        quality=st.floats(0, 1),
    ),
    max_size=3,
    unique_by=lambda found: found.face.track_id,
)
STEPS = st.lists(st.tuples(FACES, st.floats(0, 15)), max_size=25)


def a_film(steps: list[tuple[list[RecognizedFace], float]]) -> list[FrameRecognized]:
    at, frames = 0.0, []
    for number, (faces, wait) in enumerate(steps):
        at += wait
        frames.append(a_frame(number, *faces, at=at))
    return frames


@given(STEPS)
@settings(deadline=None, max_examples=50)
def test_revisions_count_up_by_one_per_sighting(
    steps: list[tuple[list[RecognizedFace], float]],
) -> None:
    revisions: dict[str, list[int]] = {}
    for sighting in told(*a_film(steps)):
        revisions.setdefault(sighting.sighting_id, []).append(sighting.revision)
    assert all(seen == list(range(len(seen))) for seen in revisions.values())


@given(STEPS)
@settings(deadline=None, max_examples=50)
def test_every_followed_face_is_counted_in_exactly_one_sighting(
    steps: list[tuple[list[RecognizedFace], float]],
) -> None:
    frames = a_film(steps)
    counted: dict[str, int] = {}
    state = FeedState()
    for frame in frames:
        state = follow(state, Feed.STREAM, frame, POLICY).state
        counted |= {sighting.sighting_id: sighting.frame_count for sighting in facts(state)}
    followed = [
        found
        for frame in frames
        for found in frame.faces
        if found.face.track_id or (found.decision and found.decision.identified)
    ]
    assert sum(counted.values()) == len(followed)


@given(STEPS)
@settings(deadline=None, max_examples=50)
def test_every_sighting_is_closed_in_the_end(
    steps: list[tuple[list[RecognizedFace], float]],
) -> None:
    frames = a_film(steps)
    state, changes = run(*frames)
    emitted = [sighting for change in changes for sighting in change.told]
    emitted += close_silent(state).told
    last = {sighting.sighting_id: sighting for sighting in emitted}
    assert all(sighting.closed for sighting in last.values())
    assert all(sighting.started_at <= sighting.ended_at for sighting in emitted)


@given(STEPS)
@settings(deadline=None, max_examples=50)
def test_a_person_never_changes_once_it_is_known(
    steps: list[tuple[list[RecognizedFace], float]],
) -> None:
    persons: dict[str, str] = {}
    for sighting in told(*a_film(steps)):
        if sighting.person_id is not None:
            assert persons.setdefault(sighting.sighting_id, sighting.person_id) == (
                sighting.person_id
            )
        else:
            assert sighting.sighting_id not in persons
