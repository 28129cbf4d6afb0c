"""Sightings: the faces of one camera joined into "this one was here from … to …".

A face continues the sighting of its person, else that of its track, if that was seen within the
gap; otherwise it opens one. A track that becomes identified gives its sighting the person, or joins
the sighting that the person has already. A face without track and person cannot be followed.
Everything here is counted in event time; the same frames give the same sightings, revision by
revision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from aggregator.domain.event_time import event_time
from mesh.events import FrameHeader, FrameRecognized, RecognizedFace, Sighting
from mesh.identity import derived_id

_MAX_TRACKS = 64
_MAX_EPOCHS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingPolicy:
    """When a sighting ends, and how often it is told."""

    gap: timedelta = timedelta(seconds=10)
    """A face that was away for longer is another sighting."""
    update_every: timedelta = timedelta(seconds=1)
    """Least event time between two updates; opening, identity and closing are told at once."""
    improvement: float = 0.1
    """How much better than the best picture so far the next one must be, 0 to 1."""
    keep_closed: timedelta = timedelta(seconds=60)
    """How long closed sightings stay known, for redelivered records and faces that come back."""
    max_open: int = 256
    """Open sightings per camera; beyond that the one that was silent for longest closes."""

    def __post_init__(self) -> None:
        if self.gap <= timedelta(0):
            raise ValueError(f"gap must be above 0 s, not {self.gap}")
        if self.keep_closed < self.gap:
            raise ValueError(f"keep_closed must be at least gap ({self.gap}), not shorter")


class Feed(StrEnum):
    """Frames of one camera that follow each other; those of different feeds do not mix."""

    STREAM = "stream"
    """Captured from the camera: an older epoch is a past connection and says nothing new."""
    PUSHED = "pushed"
    """Pushed by clients: each gateway is a source of its own, beside the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A sighting as it is and as it was last told."""

    facts: Sighting
    """All that is known; its revision is that of `told`."""
    told: Sighting | None = None
    """As it was last emitted; nothing until its first frame is folded."""
    told_at: datetime | None = None
    """Event time of the feed when it was last emitted, UTC."""
    cause: str | None = None
    """Frame that caused the last emission; nothing if silence did."""
    tracks: tuple[tuple[int, str], ...] = ()
    """Epoch and track_id of the tracks that were joined."""
    pictured: bool = False
    """The best detection has a chip."""


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


def follow(state: FeedState, feed: Feed, event: FrameRecognized, policy: SightingPolicy) -> Change:
    """Fold a frame that is not late into the feed's sightings."""
    frame = event.frame
    at = event_time(frame)
    now = at if state.at is None else max(at, state.at)
    followed = [_close_if_gone(item, now, policy) for item in state.followed]
    best: list[tuple[str, RecognizedFace]] = []
    taken: set[int] = set()
    for face in sorted(filter(_can_be_followed, event.faces), key=_is_unknown):
        place = _place_of(face, frame, at, followed, taken, policy)
        before = followed[place] if place < len(followed) else None
        after = _with_face(before, face, frame, at, policy)
        followed[place : place + 1] = [after]
        taken.add(place)
        if before is None or after.facts.best_detection_id != before.facts.best_detection_id:
            best.append((after.facts.sighting_id, face))
    followed = _bounded(followed, policy)
    told = [_tell_if_due(item, frame.frame_key, now, policy) for item in followed]
    return Change(
        state=FeedState(
            newest=_advance(state.newest, feed, frame),
            at=now,
            followed=tuple(item for item in told if not _is_forgotten(item, now, policy)),
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
    told = [item if _is_told(item) else _tell(item, None, state.at) for item in closed]
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


def _person_of(found: RecognizedFace) -> str | None:
    decision = found.decision
    return decision.person_id if decision is not None and decision.identified else None


def _is_unknown(found: RecognizedFace) -> bool:
    return _person_of(found) is None


def _can_be_followed(found: RecognizedFace) -> bool:
    return found.face.track_id is not None or _person_of(found) is not None


def _place_of(
    found: RecognizedFace,
    frame: FrameHeader,
    at: datetime,
    followed: Sequence[Followed],
    taken: set[int],
    policy: SightingPolicy,
) -> int:
    """Index of the sighting that the face continues, or one past the end if it opens one."""
    near = [
        (index, item)
        for index, item in enumerate(followed)
        if index not in taken and abs(at - item.facts.ended_at) <= policy.gap
    ]
    person = _person_of(found)
    same_person = [
        index for index, item in near if person is not None and item.facts.person_id == person
    ]
    track = (frame.epoch, found.face.track_id)
    same_track = [
        index
        for index, item in near
        if track in item.tracks and (person is None or item.facts.person_id is None)
    ]
    for places in (same_person, same_track):
        if places:
            return max(places, key=lambda index: (followed[index].facts.ended_at, index))
    return len(followed)


def _with_face(
    before: Followed | None,
    found: RecognizedFace,
    frame: FrameHeader,
    at: datetime,
    policy: SightingPolicy,
) -> Followed:
    if before is None:
        return _opened(found, frame, at)
    facts, face = before.facts, found.face
    tracks = _joined(before.tracks, frame.epoch, face.track_id)
    better = _is_better(before, found, policy)
    return replace(
        before,
        tracks=tracks,
        pictured=face.chip is not None if better else before.pictured,
        facts=replace(
            facts,
            person_id=facts.person_id or _person_of(found),
            track_ids=_ids(tracks),
            ended_at=max(facts.ended_at, at),
            last_frame_key=frame.frame_key,
            frame_count=facts.frame_count + 1,
            best_detection_id=face.detection_id if better else facts.best_detection_id,
            best_quality=face.quality.score if better else facts.best_quality,
            best_similarity=_highest(facts.best_similarity, _similarity(found)),
            closed=False,
        ),
    )


def _opened(found: RecognizedFace, frame: FrameHeader, at: datetime) -> Followed:
    face = found.face
    tracks = _joined((), frame.epoch, face.track_id)
    return Followed(
        tracks=tracks,
        pictured=face.chip is not None,
        facts=Sighting(
            sighting_id=derived_id("sgt", frame.frame_key, face.index),
            camera_id=frame.camera_id,
            camera_name=frame.camera_name,
            epoch=frame.epoch,
            person_id=_person_of(found),
            track_ids=_ids(tracks),
            started_at=at,
            ended_at=at,
            first_frame_key=frame.frame_key,
            last_frame_key=frame.frame_key,
            frame_count=1,
            best_detection_id=face.detection_id,
            best_quality=face.quality.score,
            best_similarity=_similarity(found),
            closed=False,
            revision=0,
        ),
    )


def _is_better(before: Followed, found: RecognizedFace, policy: SightingPolicy) -> bool:
    if found.face.chip is None:
        return False
    if not before.pictured:
        return True
    return found.face.quality.score >= before.facts.best_quality + policy.improvement


def _similarity(found: RecognizedFace) -> float | None:
    return found.decision.similarity if found.decision and found.decision.identified else None


def _highest(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _joined(
    tracks: tuple[tuple[int, str], ...], epoch: int, track_id: str | None
) -> tuple[tuple[int, str], ...]:
    if track_id is None or (epoch, track_id) in tracks:
        return tracks
    return (*tracks, (epoch, track_id))[-_MAX_TRACKS:]


def _ids(tracks: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(track_id for _, track_id in tracks))


def _close_if_gone(item: Followed, now: datetime, policy: SightingPolicy) -> Followed:
    if item.facts.closed or now - item.facts.ended_at <= policy.gap:
        return item
    return replace(item, facts=replace(item.facts, closed=True))


def _bounded(followed: list[Followed], policy: SightingPolicy) -> list[Followed]:
    """Close the longest silent beyond the limit, and forget the oldest closed beyond it."""
    by_age = sorted(followed, key=lambda item: item.facts.ended_at, reverse=True)
    still_open = [item for item in by_age if not item.facts.closed]
    surplus = {item.facts.sighting_id for item in still_open[policy.max_open :]}
    closed = [item for item in by_age if item.facts.closed]
    dropped = {item.facts.sighting_id for item in closed[policy.max_open :]}
    return [
        replace(item, facts=replace(item.facts, closed=True))
        if item.facts.sighting_id in surplus
        else item
        for item in followed
        if item.facts.sighting_id not in dropped or not _is_told(item)
    ]


def _is_forgotten(item: Followed, now: datetime, policy: SightingPolicy) -> bool:
    if not item.facts.closed or item.told_at is None:
        return False
    return now - item.told_at > policy.keep_closed


def _is_told(item: Followed) -> bool:
    return item.told == item.facts


def _tell_if_due(item: Followed, frame_key: str, now: datetime, policy: SightingPolicy) -> Followed:
    told, facts = item.told, item.facts
    if _is_told(item):
        return item
    if told is None or (told.person_id, told.closed) != (facts.person_id, facts.closed):
        return _tell(item, frame_key, now)
    if facts.ended_at - told.ended_at >= policy.update_every:
        return _tell(item, frame_key, now)
    return item


def _tell(item: Followed, cause: str | None, now: datetime | None) -> Followed:
    revision = 0 if item.told is None else item.told.revision + 1
    told = replace(item.facts, revision=revision)
    return replace(item, facts=told, told=told, told_at=now, cause=cause)


def _news(before: Sequence[Followed], after: Sequence[Followed]) -> tuple[Sighting, ...]:
    return tuple(
        item.told
        for old, item in zip(before, after, strict=True)
        if item is not old and item.told is not None
    )
