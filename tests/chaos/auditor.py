"""Waits until an installation is at rest, and gathers what `books` judges."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
from tests.chaos.books import (
    COLUMNS,
    FRAME_TOPICS,
    Facts,
    Findings,
    Place,
    Row,
    by_frame,
    by_sighting,
    look,
    open_numbers,
    place_of,
)
from tests.chaos.topics import TopicLog
from tests.e2e.observer import Mesh

from mesh.events import FrameCaptured
from results.domain.changes import TOPICS as WRITTEN

_TURN = 0.5
_ARRIVING = 5.0
"""An object this young may still be waiting for its row, in seconds."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an installation may take.

    Args:
        ready: Until everything says that it is ready again, in seconds.
        drain: Until every frame has an outcome and all is written, in seconds.
        due: Until numbers that nobody claimed are declared lost, in seconds.
    """

    ready: float = 300.0
    drain: float = 180.0
    due: float = 100.0


class Auditor:
    """Looks at one installation again and again.

    Args:
        mesh: The installation from outside.
        objects: The folder that stands in for the object store.
        patience: How long it may take to come to rest.
    """

    def __init__(self, mesh: Mesh, objects: Path, patience: Patience) -> None:
        self._mesh = mesh
        self._objects = objects
        self._patience = patience
        self.log = TopicLog(mesh.settings, mesh.codec, (*FRAME_TOPICS, *WRITTEN, "dead-letters"))

    def audit(self) -> Findings:
        """Wait for what was there at the beginning of the call, and judge it."""
        self.log.refresh()
        frames = self.frames()
        late: list[object] = self._wait(lambda: self._unclaimed(frames), self._patience.drain)
        self.log.refresh()
        began, told = time.time(), by_sighting(self.log.records["sightings"])
        written = {name: max(each.revision for each in told[name]) for name in told}
        unwritten: list[object] = self._wait(self._unwritten, self._patience.drain)
        unaccounted: list[object] = self._wait(lambda: self._open(frames), self._patience.due)
        findings = look(self._facts(frames, began, written))
        findings.wrong("without an outcome in time", late)
        findings.wrong("not written in time", unwritten)
        findings.wrong("numbers that are still open", unaccounted)
        return findings

    def frames(self) -> dict[str, FrameCaptured]:
        """Every frame record so far, by frame_key; undecodable ones are none."""
        return {
            record.event.frame.frame_key: record.event
            for topic in FRAME_TOPICS
            for record in self.log.records[topic]
            if record.event is not None
        }

    def claims(self) -> dict[Place, dict[str, str]]:
        """What the ledger says of every number, except that it was captured."""
        rows = self._mesh.sql(
            """
            SELECT camera_id, epoch, number, outcome, reason
            FROM results.ledger, unnest(numbers) AS span,
                 generate_series(lower(span), upper(span) - 1) AS number
            WHERE outcome <> 'captured'
            """
        )
        found: dict[Place, dict[str, str]] = defaultdict(dict)
        for camera_id, epoch, number, outcome, reason in rows:
            found[Place(camera_id, epoch, number)][outcome] = reason
        return found

    def letters(self) -> set[tuple[str, int, int]]:
        """Where the dead letters come from: topic, partition, offset."""
        found = set()
        for record in self.log.records["dead-letters"]:
            headers = record.headers
            topic = headers["origin-topic"].decode().removeprefix(self._mesh.settings.topic_prefix)
            found.add((topic, int(headers["origin-partition"]), int(headers["origin-offset"])))
        return found

    def _unclaimed(self, frames: Mapping[str, FrameCaptured]) -> list[object]:
        claims = self.claims()
        return [place for each in frames.values() if (place := place_of(each)) not in claims]

    def _open(self, frames: Mapping[str, FrameCaptured]) -> list[object]:
        highest: dict[tuple[str, int], int] = {}
        for camera_id, epoch, number in map(place_of, frames.values()):
            highest[camera_id, epoch] = max(number, highest.get((camera_id, epoch), 0))
        return list(open_numbers(highest, self.claims()))

    def _unwritten(self) -> list[object]:
        """Partitions that the writer has not taken as far as they were read here."""
        rows = self._mesh.sql("SELECT topic, partition, next_offset FROM results.writer_offsets")
        prefix = self._mesh.settings.topic_prefix
        taken = {(topic.removeprefix(prefix), part): offset for topic, part, offset in rows}
        return [
            f"{topic}-{part} at {taken.get((topic, part))} of {end}"
            for (topic, part), end in self.log.ends().items()
            if topic in WRITTEN and taken.get((topic, part), 0) < end
        ]

    def _wait(self, still: Callable[[], list[object]], within: float) -> list[object]:
        """What is left of it when nothing is, or when the time is over."""
        deadline = time.monotonic() + within
        while True:
            try:
                left = still()
            except psycopg.OperationalError as error:
                left = [error]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(_TURN)

    def _facts(
        self, frames: Mapping[str, FrameCaptured], began: float, written: Mapping[str, int]
    ) -> Facts:
        """What there is of these frames; more arrives all the time."""
        results = by_frame(self.log.records["results"])
        kept = self._kept()
        # A frame that came meanwhile may have had its result read before it, a sighting its row.
        self.log.refresh()
        every = self.frames()
        settled = self._pictures(began - _ARRIVING)
        links = self._mesh.sql(
            "SELECT frame_key::text, detection_id, sha256 FROM results.snapshots"
        )
        rows = defaultdict(list)
        for key, detection in self._mesh.sql(
            "SELECT frame_key::text, detection_id FROM results.detections"
        ):
            rows[key].append(detection)
        linked = {digest for _, _, digest in links}
        return Facts(
            frames=frames,
            results={k: found for k, found in results.items() if k in frames or k not in every},
            snapshots={
                record.event.detection_id
                for record in self.log.records["snapshots"]
                if record.event is not None and record.event.frame_key in frames
            },
            letters={
                record.headers["frame-key"].decode()
                for record in self.log.records["dead-letters"]
                if "frame-key" in record.headers
            },
            claims=self.claims(),
            rows={key: found for key, found in rows.items() if key in frames},
            links={detection: digest for key, detection, digest in links if key in frames},
            linked=linked,
            objects=self._stored(linked),
            settled=settled.keys(),
            sightings=by_sighting(self.log.records["sightings"]),
            written=written,
            kept=kept,
        )

    def _kept(self) -> dict[str, Row]:
        """The row of each sighting."""
        columns = ", ".join(f"{name}::text" if "key" in name else name for name in COLUMNS)
        rows = self._mesh.sql(f"SELECT sighting_id, {columns} FROM results.sightings")
        return {name: tuple(row) for name, *row in rows}

    def _stored(self, linked: AbstractSet[str]) -> dict[str, str]:
        """Digest in the name and digest of the content, of every picture.

        A picture that is written once more while its folder is listed may be passed over, so those
        that rows lead to are looked for by name.
        """
        found = self._pictures(time.time())
        for digest in linked - found.keys():
            for path in self._objects.glob(f"snapshots/*/{digest}"):
                found[digest] = sha256(path.read_bytes()).hexdigest()
        return found

    def _pictures(self, before: float) -> dict[str, str]:
        """Digest in the name and digest of the content, of every picture older than this."""
        found = {}
        for path in self._objects.glob("snapshots/*/*"):
            try:
                if path.stat().st_mtime < before:
                    found[path.name] = sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:
                continue
        return found
