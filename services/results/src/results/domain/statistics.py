"""Figures of frames per minute and hour: counted as they are written, never by a scan."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from mesh.events import FrameResult, Outcome
from results.domain.ledger import Book, EpochKey
from results.domain.numbers import NumberSet
from results.domain.spans import OTHER, STAGES, ended_at, legs

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PERIODS: Mapping[str, tuple[timedelta, timedelta]] = MappingProxyType(
    {
        "5m": (5 * MINUTE, MINUTE),
        "15m": (15 * MINUTE, MINUTE),
        "1h": (HOUR, MINUTE),
        "6h": (6 * HOUR, HOUR),
        "24h": (24 * HOUR, HOUR),
        "7d": (7 * 24 * HOUR, HOUR),
    }
)
"""How far back one may ask, and the slots that are added up for it."""
BOUNDS_MS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 75, 100, 125, 150, 175, 200, 250, 300, 400, 500, 750,
    1000, 1500, 2000, 3000, 5000, 10_000, 30_000, 60_000,
)  # fmt: skip
"""Upper bounds of the buckets of a latency, milliseconds; one more bucket has none."""
TOTAL = "total"
"""From the reception of a frame to the end of its last stage."""
_FRAMES, _DETECTIONS, _IDENTIFIED, _UNKNOWN = "frames", "detections", "identified", "unknown"
_DROP, _TIME = "drop", "time"
_DROPS = (Outcome.FAILED, Outcome.SHED, Outcome.LOST)
_REASON_LENGTH = 64
_QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


class Slot(NamedTuple):
    """One counter."""

    span: int
    """Seconds: 60 or 3600."""
    at: datetime
    """When it starts, UTC."""
    camera_id: str
    measure: str
    bucket: int
    """Of a latency; 0 of everything else."""


Counts = Mapping[Slot, int]


def tally(
    winners: Iterable[FrameResult], book: Book, known: Mapping[EpochKey, NumberSet]
) -> Counts:
    """What a batch adds to the figures.

    Args:
        winners: The first processed results of their frames.
        book: What the batch claims in the ledger.
        known: The numbers of the book's blocks that have an outcome already: not counted again.
    """
    counts: Counter[Slot] = Counter()
    for result in winners:
        _count_frame(counts, result)
    _count_drops(counts, book, known)
    return counts


def has_drops(book: Book) -> bool:
    """Whether there is anything in it that ended other than processed."""
    return any(cell.outcome in _DROPS for cell in book.cells)


@dataclass(slots=True)
class Figures:
    """The figures of one camera, or of all."""

    frames: int = 0
    """Processed."""
    detections: int = 0
    identified: int = 0
    unknown: int = 0
    """Faces without a name."""
    drops: dict[str, Counter[str]] = field(default_factory=dict)
    """By outcome and reason."""
    times: dict[str, Counter[int]] = field(default_factory=dict)
    """By stage or wait, and bucket."""

    def add(self, measure: str, bucket: int, count: int) -> None:
        """Take a counter in."""
        kind, _, rest = measure.partition(":")
        if kind == _DROP:
            outcome, _, reason = rest.partition(":")
            self.drops.setdefault(outcome, Counter())[reason] += count
        elif kind == _TIME:
            self.times.setdefault(rest, Counter())[bucket] += count
        elif kind in (_FRAMES, _DETECTIONS, _IDENTIFIED, _UNKNOWN):
            setattr(self, kind, getattr(self, kind) + count)

    def include(self, other: "Figures") -> None:
        """Add another camera's figures."""
        self.frames += other.frames
        self.detections += other.detections
        self.identified += other.identified
        self.unknown += other.unknown
        for outcome, reasons in other.drops.items():
            self.drops.setdefault(outcome, Counter()).update(reasons)
        for stage, buckets in other.times.items():
            self.times.setdefault(stage, Counter()).update(buckets)

    def render(self) -> dict[str, Any]:
        """As clients read them."""
        return {
            "frames": self.frames,
            "detections": self.detections,
            "identified": self.identified,
            "unknown": self.unknown,
            "drops": {
                str(outcome): {
                    "total": sum(self.drops.get(outcome, {}).values()),
                    "by_reason": dict(sorted(self.drops.get(outcome, {}).items())),
                }
                for outcome in _DROPS
            },
            "latency_ms": {
                stage: {name: percentile(self.times[stage], share) for name, share in _QUANTILES}
                for stage in _in_order(self.times)
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFigures:
    """The figures of one camera."""

    camera_id: str
    camera_name: str | None
    """Unknown of a gateway's own camera."""
    figures: Figures


def percentile(buckets: Mapping[int, int], share: float) -> float:
    """The value that this share of a histogram does not exceed, by interpolation, milliseconds.

    What lies above the last bound counts as the last bound.
    """
    rank = share * sum(buckets.values())
    below = 0
    for bucket, count in sorted(buckets.items()):
        if below + count >= rank:
            low = BOUNDS_MS[bucket - 1] if bucket else 0
            high = BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)]
            return round(low + (high - low) * (rank - below) / count, 1)
        below += count
    return 0.0


def start_of(period: str, now: datetime) -> datetime:
    """Where the slots of a period begin: a whole minute or hour, not later than asked for."""
    length, span = PERIODS[period]
    return _floor(now - length, span)


def _count_frame(counts: Counter[Slot], result: FrameResult) -> None:
    frame = result.frame
    faces = [item for item in result.detections if item.detection_type == "face"]
    identified = sum(1 for item in faces if item.decision and item.decision.identified)
    measures: Counter[tuple[str, int]] = Counter()
    measures[_FRAMES, 0] = 1
    measures[_DETECTIONS, 0] = len(result.detections)
    measures[_IDENTIFIED, 0] = identified
    measures[_UNKNOWN, 0] = len(faces) - identified
    for leg in legs(result.stages):
        stage = leg.stage if leg.stage in STAGES else OTHER
        measures[_time(f"wait_{stage}" if leg.wait else stage), _bucket(leg.seconds)] += 1
    total = (ended_at(result) - frame.received_timestamp).total_seconds()
    measures[_time(TOTAL), _bucket(total)] += 1
    _count(counts, frame.received_timestamp, frame.camera_id, measures)


def _count_drops(counts: Counter[Slot], book: Book, known: Mapping[EpochKey, NumberSet]) -> None:
    taken = dict(known)
    ranked = sorted(book.cells, key=lambda cell: (cell.outcome != Outcome.PROCESSED, cell))
    for key in ranked:
        if key.outcome not in (Outcome.PROCESSED, *_DROPS):
            continue
        session, cell = EpochKey(key.camera_id, key.epoch), book.cells[key]
        new = cell.numbers - taken.get(session, NumberSet())
        taken[session] = taken.get(session, NumberSet()) | cell.numbers
        if key.outcome in _DROPS and new:
            measure = f"{_DROP}:{key.outcome}:{key.reason[:_REASON_LENGTH] or 'unknown'}"
            _count(counts, cell.first_at, key.camera_id, {(measure, 0): len(new)})


def _count(
    counts: Counter[Slot],
    at: datetime,
    camera_id: str,
    measures: Mapping[tuple[str, int], int],
) -> None:
    for span in (MINUTE, HOUR):
        start = _floor(at, span)
        for (measure, bucket), count in measures.items():
            if count:
                counts[Slot(_seconds(span), start, camera_id, measure, bucket)] += count


def _bucket(seconds: float) -> int:
    return bisect_left(BOUNDS_MS, seconds * 1000)


def _time(stage: str) -> str:
    return f"{_TIME}:{stage}"


def _floor(moment: datetime, span: timedelta) -> datetime:
    seconds = _seconds(span)
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _in_order(times: Mapping[str, object]) -> Sequence[str]:
    way = [TOTAL, *(name for stage in STAGES for name in (f"wait_{stage}", stage))]
    return [*(n for n in way if n in times), *sorted(n for n in times if n not in way)]
