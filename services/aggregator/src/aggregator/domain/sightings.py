"""Sightings: the faces of one camera joined into "this one was here from … to …".

A face continues the sighting of its person, else that of its track, if that was seen within the
gap; otherwise it opens one. A track that becomes identified gives its sighting the person, or joins
the sighting that the person has already. A face without track and person cannot be followed.
Everything here is counted in event time; the same frames give the same sightings, revision by
revision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from aggregator.domain.event_time import event_time
from aggregator.domain.followed import (
    Followed,
    SightingPolicy,
    close_if_gone,
    is_forgotten,
    is_told,
    person_of,
    tell,
    tell_if_due,
    with_face,
)
from mesh.events import FrameHeader, FrameRecognized, RecognizedFace, Sighting

_MAX_EPOCHS = 16

Settled = Callable[[str | None], bool]
"""Whether all that a frame, or silence, caused is published for sure."""


def everything_is_settled(_: str | None) -> bool:
    """What a reader may assume who is never interrupted."""
    return True


class Feed(StrEnum):
    """Frames of one camera that follow each other; those of different feeds do not mix."""

    STREAM = "stream"
    """Captured from the camera: an older epoch is a past connection and says nothing new."""
    PUSHED = "pushed"
    """Pushed by clients: each gateway is a source of its own, beside the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What is known of one feed of a camera."""

    newest: tuple[tuple[int, int], ...] = ()
    """Epoch and newest sequence_number, by rising epoch; of a stream only the newest epoch."""
    at: datetime | None = None
    """Event time of the newest frame, UTC."""
    followed: tuple[Followed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a frame, or silence, did to a feed."""

    state: FeedState
    told: tuple[Sighting, ...] = ()
    """Sightings to emit."""
    best: tuple[tuple[str, RecognizedFace], ...] = ()
    """sighting_id and face of every face that is now the best of its sighting."""


def is_late(state: FeedState, feed: Feed, frame: FrameHeader) -> bool:
    """Whether the frame is behind what the feed has seen; never judged by the wall clock.

    Behind is: not newer than the newest of its epoch, or of an epoch that a stream has left.
    """
    for epoch, sequence in state.newest:
        if epoch == frame.epoch:
            return frame.sequence_number <= sequence
    return feed is Feed.STREAM and any(epoch > frame.epoch for epoch, _ in state.newest)


def follow(
    state: FeedState,
    feed: Feed,
    event: FrameRecognized,
    policy: SightingPolicy,
    settled: Settled = everything_is_settled,
) -> Change:
    """Fold a frame that is not late into the feed's sightings.

    A closed sighting is not forgotten before what closed it is settled: a record that comes again
    could not tell it again. While the feed is full of such, new faces open no sighting.
    """
    frame = event.frame
    at = event_time(frame)
    now = at if state.at is None else max(at, state.at)
    faces = sorted(filter(_can_be_followed, event.faces), key=_is_unknown)
    followed = [close_if_gone(item, now, policy) for item in state.followed]
    followed = _with_room(followed, len(faces), policy, settled)
    best: list[tuple[str, RecognizedFace]] = []
    taken: set[int] = set()
    for face in faces:
        place = _place_of(face, frame, at, followed, taken, policy)
        if place >= policy.max_kept:
            continue
        before = followed[place] if place < len(followed) else None
        after = with_face(before, face, frame, at, policy)
        followed[place : place + 1] = [after]
        taken.add(place)
        if before is None or after.facts.best_detection_id != before.facts.best_detection_id:
            best.append((after.facts.sighting_id, face))
    followed = _close_surplus(followed, policy)
    told = [tell_if_due(item, frame.frame_key, now, policy) for item in followed]
    return Change(
        state=FeedState(
            newest=_advance(state.newest, feed, frame),
            at=now,
            followed=tuple(
                item
                for item in told
                if not (is_forgotten(item, now, policy) and settled(item.cause))
            ),
        ),
        told=_news(followed, told),
        best=tuple(best),
    )


def close_silent(state: FeedState) -> Change:
    """Close what is open, because no frame came for so long; stamped with the last event time."""
    closed = [
        item if item.facts.closed else replace(item, facts=replace(item.facts, closed=True))
        for item in state.followed
    ]
    told = [item if is_told(item) else tell(item, None, state.at) for item in closed]
    return Change(state=replace(state, followed=tuple(told)), told=_news(closed, told))


def told_by(state: FeedState, frame_key: str | None) -> tuple[Sighting, ...]:
    """What was emitted because of this frame, or of silence, and is still the newest revision."""
    return tuple(
        item.told for item in state.followed if item.told is not None and item.cause == frame_key
    )


def best_among(
    state: FeedState, faces: Sequence[RecognizedFace]
) -> tuple[tuple[str, RecognizedFace], ...]:
    """Pairs of sighting_id and face for the faces that are still the best of a sighting."""
    by_detection = {found.face.detection_id: found for found in faces}
    return tuple(
        (item.facts.sighting_id, by_detection[item.facts.best_detection_id])
        for item in state.followed
        if item.facts.best_detection_id in by_detection
    )


def has_open(state: FeedState) -> bool:
    """Whether any sighting is open."""
    return any(not item.facts.closed for item in state.followed)


def _advance(
    newest: tuple[tuple[int, int], ...], feed: Feed, frame: FrameHeader
) -> tuple[tuple[int, int], ...]:
    mine = (frame.epoch, frame.sequence_number)
    if feed is Feed.STREAM:
        return (mine,)
    others = (entry for entry in newest if entry[0] != frame.epoch)
    return tuple(sorted((*others, mine)))[-_MAX_EPOCHS:]


def _is_unknown(found: RecognizedFace) -> bool:
    return person_of(found) is None


def _can_be_followed(found: RecognizedFace) -> bool:
    return found.face.track_id is not None or person_of(found) is not None


def _place_of(
    found: RecognizedFace,
    frame: FrameHeader,
    at: datetime,
    followed: Sequence[Followed],
    taken: set[int],
    policy: SightingPolicy,
) -> int:
    """Index of the sighting that the face continues, or one past the end if it opens one."""
    person, track = person_of(found), (frame.epoch, found.face.track_id)

    def is_persons(item: Followed) -> bool:
        return person is not None and item.facts.person_id == person

    def is_tracks(item: Followed) -> bool:
        return (person is None or item.facts.person_id is None) and track in item.tracks

    for is_same in (is_persons, is_tracks):
        places = [
            index
            for index, item in enumerate(followed)
            if is_same(item) and index not in taken and abs(at - item.facts.ended_at) <= policy.gap
        ]
        if places:
            return max(places, key=lambda index: (followed[index].facts.ended_at, index))
    return len(followed)


def _with_room(
    followed: list[Followed], faces: int, policy: SightingPolicy, settled: Settled
) -> list[Followed]:
    """Forget the oldest closed sightings so that this many new ones fit, as far as that is safe."""
    surplus = len(followed) + faces - policy.max_kept
    if surplus <= 0:
        return followed
    done = (item for item in followed if item.facts.closed and is_told(item))
    oldest = sorted(done, key=lambda item: item.facts.ended_at)
    safe = [item.facts.sighting_id for item in oldest if settled(item.cause)]
    forgotten = set(safe[:surplus])
    return [item for item in followed if item.facts.sighting_id not in forgotten]


def _close_surplus(followed: list[Followed], policy: SightingPolicy) -> list[Followed]:
    """Close the longest silent of too many open sightings."""
    still_open = [item for item in followed if not item.facts.closed]
    by_age = sorted(still_open, key=lambda item: item.facts.ended_at, reverse=True)
    surplus = {item.facts.sighting_id for item in by_age[policy.max_open :]}
    return [
        replace(item, facts=replace(item.facts, closed=True))
        if item.facts.sighting_id in surplus
        else item
        for item in followed
    ]


def _news(before: Sequence[Followed], after: Sequence[Followed]) -> tuple[Sighting, ...]:
    return tuple(
        item.told
        for old, item in zip(before, after, strict=True)
        if item is not old and item.told is not None
    )
