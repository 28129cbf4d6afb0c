"""Fusion: the pictures of one track averaged before they are compared.

The mean of three pictures misses a sixth of what one picture misses. Soft state: what is lost in a
restart only costs the average its first pictures.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from recognition.domain.embedding import Mean, Vector, is_zero, mean_of


class TrackKey(NamedTuple):
    """A short-term track: track ids are unique within a camera's epoch only."""

    camera_id: str
    epoch: int
    track_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSample:
    """One picture of a track."""

    frame_key: str
    sequence_number: int
    vector: Vector
    quality: float
    """Weight in the mean, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionPolicy:
    """How many pictures are averaged, and of which."""

    frames: int = 5
    """Newest pictures of a track that are averaged; 1 switches fusion off."""
    coherence: float = 0.3
    """Earlier pictures less similar to the present one are left out: the track changed hands."""
    max_tracks: int = 4096
    """Tracks remembered; the longest untouched is forgotten first."""
    untouched: float = 60.0
    """Seconds after which a track is forgotten: it ended long before, or its camera did."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.max_tracks < 1 or not -1 <= self.coherence <= 1:
            raise ValueError("frames and max_tracks must be at least 1, coherence -1 to 1")


@dataclass(slots=True)
class _Track:
    """The last pictures of a track, by frame_key."""

    touched: float = 0.0
    samples: dict[str, TrackSample] = field(default_factory=dict)


class TrackFusion:
    """Remembers the last pictures of every track; used from one thread."""

    def __init__(self, policy: FusionPolicy) -> None:
        self._policy = policy
        self._tracks: OrderedDict[TrackKey, _Track] = OrderedDict()

    def __len__(self) -> int:
        """Tracks remembered."""
        return len(self._tracks)

    def fuse(self, key: TrackKey, sample: TrackSample, now: float) -> Mean:
        """Add a picture and average it with the track's pictures up to it.

        The same frame again replaces itself, and later pictures never count, so a batch that is
        processed twice decides the same both times.

        Args:
            key: The track.
            sample: The picture.
            now: Monotonic seconds.
        """
        track = self._tracks.setdefault(key, _Track())
        self._tracks.move_to_end(key)
        track.touched, samples = now, track.samples
        samples[sample.frame_key] = sample
        self._forget(samples, now)
        earlier = sorted(
            (other for other in samples.values() if self._counts(other, sample)),
            key=lambda other: other.sequence_number,
        )
        window = [*earlier[max(len(earlier) - self._policy.frames + 1, 0) :], sample]
        return mean_of([one.vector for one in window], [max(one.quality, 0.0) for one in window])

    def _counts(self, other: TrackSample, present: TrackSample) -> bool:
        return (
            other.frame_key != present.frame_key
            and other.sequence_number <= present.sequence_number
            and not is_zero(other.vector)
            and float(other.vector @ present.vector) >= self._policy.coherence
        )

    def _forget(self, samples: dict[str, TrackSample], now: float) -> None:
        if len(samples) > 2 * self._policy.frames:
            del samples[min(samples.values(), key=lambda one: one.sequence_number).frame_key]
        while len(self._tracks) > self._policy.max_tracks or self._oldest < now:
            self._tracks.popitem(last=False)

    @property
    def _oldest(self) -> float:
        """Until when the longest untouched track is remembered."""
        return next(iter(self._tracks.values())).touched + self._policy.untouched
