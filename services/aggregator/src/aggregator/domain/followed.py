"""One sighting, as it is and as it was last told."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mesh.events import FrameHeader, RecognizedFace, Sighting
from mesh.identity import derived_id

_MAX_TRACKS = 24
"""Newest tracks of a sighting; older ones ended long before the gap."""


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
    """Open sightings per feed; beyond that the one that was silent for longest closes."""
    max_kept: int = 320
    """Open and closed sightings per feed; beyond that the oldest closed ones are forgotten."""

    def __post_init__(self) -> None:
        if self.gap <= timedelta(0):
            raise ValueError(f"gap must be above 0 s, not {self.gap}")
        if self.keep_closed < self.gap:
            raise ValueError(f"keep_closed must be at least gap ({self.gap}), not shorter")
        if self.max_kept <= self.max_open:
            raise ValueError(f"max_kept must be above max_open ({self.max_open}), not fewer")


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


def person_of(found: RecognizedFace) -> str | None:
    """The person that the face was recognised as, if it was."""
    decision = found.decision
    return decision.person_id if decision is not None and decision.identified else None


def with_face(
    before: Followed | None,
    found: RecognizedFace,
    frame: FrameHeader,
    at: datetime,
    policy: SightingPolicy,
) -> Followed:
    """The sighting with one more face; a new one if there is none before."""
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
            person_id=facts.person_id or person_of(found),
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
            person_id=person_of(found),
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


def close_if_gone(item: Followed, now: datetime, policy: SightingPolicy) -> Followed:
    """The sighting, closed if its face was away for longer than the gap."""
    if item.facts.closed or now - item.facts.ended_at <= policy.gap:
        return item
    return replace(item, facts=replace(item.facts, closed=True))


def is_forgotten(item: Followed, now: datetime, policy: SightingPolicy) -> bool:
    """Whether the sighting was told as closed long enough ago."""
    if not item.facts.closed or item.told_at is None:
        return False
    return now - item.told_at > policy.keep_closed


def is_told(item: Followed) -> bool:
    """Whether all that is known was emitted."""
    return item.told == item.facts


def tell_if_due(item: Followed, frame_key: str, now: datetime, policy: SightingPolicy) -> Followed:
    """The sighting, emitted if it is new, changed state or person, or is due for an update."""
    told, facts = item.told, item.facts
    if is_told(item):
        return item
    if told is None or (told.person_id, told.closed) != (facts.person_id, facts.closed):
        return tell(item, frame_key, now)
    if facts.ended_at - told.ended_at >= policy.update_every:
        return tell(item, frame_key, now)
    return item


def tell(item: Followed, cause: str | None, now: datetime | None) -> Followed:
    """The sighting, emitted with the next revision."""
    revision = 0 if item.told is None else item.told.revision + 1
    told = replace(item.facts, revision=revision)
    return replace(item, facts=told, told=told, told_at=now, cause=cause)
