"""What must be true of an installation once it has come to rest: nothing lost, nothing twice."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from mesh.events import FrameCaptured, FrameResult, Outcome, Purpose, Sighting
from mesh.record import Record
from results.domain.ledger import PRECEDENCE

FRAME_TOPICS = ("frames.live", "frames.urgent", "frames.request", "frames.evidence")
COLUMNS = (
    "revision", "camera_id", "epoch", "person_id", "started_at", "ended_at", "first_frame_key",
    "last_frame_key", "frame_count", "best_detection_id", "closed",
)  # fmt: skip
"""What is compared of a sighting and its row, the revision first."""
Row = tuple[Any, ...]
"""These columns of a sighting."""
_SHOWN = 5


class Place(NamedTuple):
    """A frame's number in the ledger."""

    camera_id: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found, read from topics, database and object store.

    Args:
        frames: Every frame record by frame_key.
        results: Every result by frame_key, in the order of their offsets.
        snapshots: The detections that a snapshot was published of.
        letters: The frames that dead letters name.
        claims: What the ledger says of each number: outcome to reason.
        rows: Detections in the database by frame_key; one entry per row.
        links: Rows of snapshots of these frames: detection to digest.
        linked: The digests in all rows of snapshots.
        objects: Digest in the name to digest of the content, of the stored pictures.
        settled: The names of those pictures that are old enough to have a row.
        sightings: Every sighting by its identifier, in the order of their offsets.
        written: The highest revision that the writer must have written of each.
        kept: The row of each sighting.
    """

    frames: Mapping[str, FrameCaptured]
    results: Mapping[str, Sequence[FrameResult]]
    snapshots: Collection[str]
    letters: Collection[str]
    claims: Mapping[Place, Mapping[str, str]]
    rows: Mapping[str, Sequence[str]]
    links: Mapping[str, str]
    linked: Collection[str]
    objects: Mapping[str, str]
    settled: Collection[str]
    sightings: Mapping[str, Sequence[Sighting]]
    written: Mapping[str, int]
    kept: Mapping[str, Row]


@dataclass(slots=True)
class Findings:
    """What a look at the facts says.

    Args:
        outcomes: How many frames ended how, with the reason.
        stored: How many detections, pictures and sightings are stored, and claim checks seen.
        repeated: Results that were published again, byte for byte.
        problems: What must not be.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    stored: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    problems: list[str] = field(default_factory=list)

    def wrong(self, what: str, cases: Iterable[object]) -> None:
        """Note a problem, if there are cases of it."""
        found = [str(each) for each in cases]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            self.problems.append(f"{what}: {', '.join(found[:_SHOWN])}{more}")


def place_of(frame: FrameCaptured) -> Place:
    """Where the ledger has the frame."""
    return Place(frame.frame.camera_id, frame.frame.epoch, frame.frame.sequence_number)


def by_frame(records: Iterable[Record[Any]]) -> dict[str, list[Any]]:
    """Events by the frame that they are of; what cannot be decoded is of none."""
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        if record.event is not None:
            found[record.event.frame.frame_key].append(record.event)
    return found


def by_sighting(records: Iterable[Record[Any]]) -> dict[str, list[Sighting]]:
    """Sightings by their identifier; what cannot be decoded is none."""
    found: dict[str, list[Sighting]] = defaultdict(list)
    for record in records:
        if record.event is not None:
            found[record.event.sighting_id].append(record.event)
    return found


def row_of(sighting: Sighting) -> Row:
    """What its row should hold."""
    return tuple(getattr(sighting, column) for column in COLUMNS)


def ending(claims: Mapping[str, str]) -> str:
    """The outcome that counts: a frame that was done twice around a kill may have two."""
    return min(claims, key=lambda outcome: PRECEDENCE.index(Outcome(outcome)))


def open_numbers(
    highest: Mapping[tuple[str, int], int], claims: Mapping[Place, Mapping[str, str]]
) -> list[Place]:
    """The numbers of each session that nobody has claimed, from 0 to its highest."""
    return [
        place
        for (camera_id, epoch), last in highest.items()
        for number in range(last + 1)
        if (place := Place(camera_id, epoch, number)) not in claims
    ]


def look(facts: Facts) -> Findings:
    """Everything that can be told of these facts."""
    findings = Findings()
    findings.stored = {
        "detections": sum(map(len, facts.rows.values())),
        "pictures": len(facts.objects),
        "sightings": len(facts.kept),
        "large frames": sum(each.image_ref is not None for each in facts.frames.values()),
    }
    _frames(facts, findings)
    _results(facts, findings)
    _rows(facts, findings)
    _pictures(facts, findings)
    _sightings(facts, findings)
    return findings


def _frames(facts: Facts, findings: Findings) -> None:
    """Every frame has exactly one outcome, and a result whenever somebody is to read one."""
    silent, lost = [], []
    for key, frame in facts.frames.items():
        claims = facts.claims.get(place_of(frame))
        if claims is None:
            findings.wrong("no outcome", [key])
            continue
        ended = ending(claims)
        reason = claims[ended].partition(":")[0]
        findings.outcomes[f"{ended}({reason})" if reason else ended] += 1
        told = key in facts.results or key in facts.letters
        asked = frame.frame.purpose is not Purpose.SURVEILLANCE
        if not told and (ended in {"processed", "failed"} or (asked and ended == "shed")):
            silent.append(f"{key} {ended}({reason})")
        if ended == "lost":
            lost.append(f"{key} ({reason})")
    findings.wrong("an outcome but no result", silent)
    findings.wrong("lost although the broker had it", lost)


def _results(facts: Facts, findings: Findings) -> None:
    findings.wrong("results of no frame", facts.results.keys() - facts.frames.keys())
    different = []
    for key, copies in facts.results.items():
        findings.repeated += len(copies) - 1
        if any(_told(copy) != _told(copies[0]) for copy in copies):
            different.append(key)
    findings.wrong("two results", different)


def _told(result: FrameResult) -> FrameResult:
    """Without who made it and when, in which the copy of an instance that was suspended differs."""
    before = tuple(each for each in result.stages if each.stage != "aggregator")
    return replace(result, stages=before)


def _rows(facts: Facts, findings: Findings) -> None:
    """Exactly the detections of each processed frame's result are stored."""
    missing, twice, foreign = [], [], []
    for key, copies in facts.results.items():
        first = copies[0]
        processed = first.outcome is Outcome.PROCESSED
        expected = {each.detection_id for each in first.detections} if processed else set()
        found = Counter(facts.rows.get(key, ()))
        missing += sorted(expected - found.keys())
        foreign += sorted(found.keys() - expected)
        twice += [detection for detection, count in found.items() if count > 1]
    findings.wrong("detections without a row", missing)
    findings.wrong("detections with two rows", twice)
    findings.wrong("rows that no result has", foreign)
    findings.wrong("rows of frames without a result", facts.rows.keys() - facts.results.keys())


def _pictures(facts: Facts, findings: Findings) -> None:
    stored = {detection for rows in facts.rows.values() for detection in rows}
    shown = set(facts.links.values())
    findings.wrong("snapshots without a row", set(facts.snapshots) - facts.links.keys())
    findings.wrong("snapshot rows without a detection", facts.links.keys() - stored)
    findings.wrong("snapshot rows without an object", shown - facts.objects.keys())
    findings.wrong("objects without a row", set(facts.settled) - set(facts.linked))
    findings.wrong("objects that are damaged", [n for n, is_ in facts.objects.items() if n != is_])


def _sightings(facts: Facts, findings: Findings) -> None:
    """The row of each is its highest revision, which everybody who told it told alike."""
    rows = facts.kept
    findings.wrong("sightings without a row", facts.written.keys() - rows.keys())
    findings.wrong("rows of no sighting", rows.keys() - facts.sightings.keys())
    behind = (
        f"{name} at {rows[name][0]} of {revision}"
        for name, revision in facts.written.items()
        if name in rows and rows[name][0] < revision
    )
    findings.wrong("sightings whose row is behind", behind)
    altered, differing = [], []
    for name, copies in facts.sightings.items():
        every = list(map(row_of, copies))
        told = {row[0]: row for row in reversed(every)}
        if any(told[row[0]] != row for row in every):
            differing.append(name)
        if name in rows and told.get(rows[name][0]) != rows[name]:
            altered.append(name)
    findings.wrong("sightings that their row does not tell", altered)
    findings.wrong("sightings told in two ways", differing)
