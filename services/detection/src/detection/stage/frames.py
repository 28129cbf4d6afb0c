"""The use case: a batch of captured frames in, what was detected in each out."""

from collections.abc import Sequence
from dataclasses import dataclass

from detection.domain.batching import portions
from detection.domain.report import (
    Ending,
    Shift,
    frame_detected,
    goes_to_ledger_only,
    ledger_entries,
)
from detection.ports import ChipMeter
from detection.stage.attributes import AttributeReader
from detection.stage.faces import FaceReporter
from detection.stage.notices import Notices
from detection.stage.reading import FrameReader
from detection.stage.searching import Searcher
from detection.stage.things import ObjectReporter
from detection.stage.work import DetectionPolicy, FrameWork, Tools
from mesh.events import DetectedFace, DetectedObject, FrameCaptured, Outcome
from mesh.record import Record
from mesh.stage import Emit, Output, Reject
from mesh.topics import Topics


@dataclass(frozen=True, slots=True)
class _Found:
    """What is reported of a frame."""

    faces: Sequence[DetectedFace] = ()
    objects: Sequence[DetectedObject] = ()


class DetectionStage:
    """Finds faces and objects: decode, detect, filter, follow, measure, cut chips.

    A frame that cannot be read or that an engine refuses fails alone.
    """

    def __init__(
        self,
        *,
        tools: Tools,
        policy: DetectionPolicy,
        chips: ChipMeter,
        topics: Topics,
        instance_id: str,
    ) -> None:
        self._clock = tools.clock
        self._reader = FrameReader(tools)
        self._searcher = Searcher(tools)
        self._attributes = AttributeReader(tools)
        self._faces = FaceReporter(tools, policy)
        self._objects = ObjectReporter(tools, policy)
        self._notices = Notices(tools.clock, instance_id, chips=chips)
        self._max_pixels = policy.max_pixels
        self._topics = topics
        self._instance_id = instance_id

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        """Detect in every frame; one call per engine unless the pictures are huge."""
        events = [record.event for record in batch]
        return [
            outcome
            for portion in portions(events, self._max_pixels)
            for outcome in self._process(portion)
        ]

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """Report frames that will not be processed; shed surveillance only in the ledger."""
        now = self._clock.now()
        shift = Shift(instance_id=self._instance_id, started_at=now, ended_at=now)
        ending = Ending(outcome=Outcome(outcome), reason=reason)
        works = [FrameWork(record.event, ending=ending) for record in batch]
        return self._report(works, [_Found()] * len(works), shift)

    def _process(self, events: Sequence[FrameCaptured]) -> list[Emit]:
        started = self._clock.now()
        works = self._reader.read(events)
        self._searcher.search(works)
        for work in works:
            self._faces.select(work)
        self._attributes.read(works)
        faces = self._faces.report(works)
        objects = [self._objects.report(work) for work in works]
        found = [_Found(*each) for each in zip(faces, objects, strict=True)]
        ended = self._clock.now()
        shift = Shift(instance_id=self._instance_id, started_at=started, ended_at=ended)
        return self._report(works, found, shift)

    def _report(
        self, works: Sequence[FrameWork], found: Sequence[_Found], shift: Shift
    ) -> list[Emit]:
        """An outcome per frame; ledger entries of the whole batch leave with its first frame."""
        silent = [
            (work.event.frame, work.ending)
            for work in works
            if goes_to_ledger_only(work.event.frame, work.ending)
        ]
        entries = ledger_entries(silent, instance_id=self._instance_id, reported_at=shift.ended_at)
        outputs = [self._outputs(*frame, shift) for frame in zip(works, found, strict=True)]
        topic = self._topics("ledger")
        outputs[0][:0] = [Output(topic, entry.camera_id, entry) for entry in entries]
        return [Emit(leaving) for leaving in outputs]

    def _outputs(self, work: FrameWork, found: _Found, shift: Shift) -> list[Output]:
        if goes_to_ledger_only(work.event.frame, work.ending):
            return []
        event = frame_detected(
            work.event,
            work.ending,
            shift,
            faces=found.faces,
            objects=found.objects,
            models=work.models,
        )
        camera = event.frame.camera_id
        leaving = [Output(self._topics("detections"), camera, event)]
        notices = self._notices.crowd(event.frame, found.faces)
        if work.undone and work.event.request is None:
            notices += self._notices.about(work.event.frame, work.undone)
        leaving += [Output(self._topics("events"), camera, notice) for notice in notices]
        return leaving
