"""The third step for objects: filter, follow persons, tell falls."""

from collections.abc import Sequence

from detection.domain.activity import Posture
from detection.domain.coco import PERSON, classes_of
from detection.domain.selection import select_objects
from detection.domain.thing import RawObject
from detection.stage.work import DetectionPolicy, FrameWork, Tools
from mesh.events import Activity, DetectedObject, Purpose
from mesh.identity import derived_id


class ObjectReporter:
    """Makes what the object detector found into what clients asked for."""

    def __init__(self, tools: Tools, policy: DetectionPolicy) -> None:
        self._further = tools.further
        self._policy = policy

    def report(self, work: FrameWork) -> list[DetectedObject]:
        """The objects to report, most confident first; persons with tracks."""
        classes = classes_of(work.tasks)
        if work.image is None or not classes:
            return []
        height, width = work.image.shape[:2]
        found = select_objects(
            work.objects,
            classes,
            work.event,
            width=width,
            height=height,
            most=self._policy.max_objects,
        )
        tracks = self._follow(work, found)
        key = work.event.frame.frame_key
        return [
            DetectedObject(
                index=index,
                detection_id=derived_id("det", key, "object", index),
                class_name=item.class_name,
                box=item.box,
                confidence=item.confidence,
                track_id=track,
                activity=self._activity(work, item, track),
            )
            for index, (item, track) in enumerate(zip(found, tracks, strict=True))
        ]

    def _follow(self, work: FrameWork, found: Sequence[RawObject]) -> list[str | None]:
        tracks: list[str | None] = [None] * len(found)
        tracker = self._further.persons
        if tracker is None or work.event.frame.purpose is not Purpose.SURVEILLANCE:
            return tracks
        persons = [index for index, item in enumerate(found) if item.class_name == PERSON]
        followed = tracker.follow(work.event.frame, [found[index] for index in persons])
        for index, track in zip(persons, followed, strict=True):
            tracks[index] = track
        return tracks

    def _activity(self, work: FrameWork, item: RawObject, track: str | None) -> Activity | None:
        if track is None or "activity" not in work.tasks:
            return None
        seconds = work.event.frame.received_timestamp.timestamp()
        return self._further.postures.see(track, Posture(seconds, item.box))
