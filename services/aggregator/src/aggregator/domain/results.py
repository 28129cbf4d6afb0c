"""The public result of a frame: no names, no pixels."""

from collections.abc import Mapping
from types import MappingProxyType

from mesh.events import (
    DetectedObject,
    FrameRecognized,
    FrameResult,
    Outcome,
    Purpose,
    RecognizedFace,
    ResultDetection,
    StageTime,
)

POISON = "poison"
PUBLIC_PURPOSES = frozenset({Purpose.SURVEILLANCE, Purpose.PROCESS_FRAME})
"""Frames of any other purpose are private: their result says only how they ended."""

_VEHICLES = ("bicycle", "bus", "car", "motorcycle", "train", "truck")
_TYPE_OF_CLASS: Mapping[str, str] = MappingProxyType(
    {"person": "person"} | dict.fromkeys(_VEHICLES, "vehicle")
)


def frame_result(
    event: FrameRecognized, stage: StageTime, *, poisoned: bool = False
) -> FrameResult:
    """The result of a frame, a function of nothing but its arguments.

    `sighting_id` of every detection is null: which sighting a face belongs to depends on the frames
    before it and may change after it; `Sighting.track_ids` and `epoch` link the two.

    Args:
        event: What recognition said.
        stage: When this stage worked on it; the same on every delivery of the record.
        poisoned: The reducer failed on it, so that the outcome is `failed(poison)`.
    """
    if poisoned:
        return FrameResult(
            frame=event.frame,
            outcome=Outcome.FAILED,
            reason=POISON,
            stages=(*event.stages, stage),
        )
    public = event.frame.purpose in PUBLIC_PURPOSES
    return FrameResult(
        frame=event.frame,
        outcome=event.outcome,
        reason=event.reason,
        detections=_detections(event) if public else (),
        models=event.models if public else (),
        stages=(*event.stages, stage),
    )


def _detections(event: FrameRecognized) -> tuple[ResultDetection, ...]:
    return (*map(_face, event.faces), *map(_object, event.objects))


def _face(recognized: RecognizedFace) -> ResultDetection:
    face = recognized.face
    return ResultDetection(
        detection_id=face.detection_id,
        index=face.index,
        detection_type="face",
        box=face.box,
        confidence=face.confidence,
        track_id=face.track_id,
        quality=face.quality,
        pose=face.pose,
        landmarks=face.landmarks,
        rejections=face.rejections,
        decision=recognized.decision,
        attributes=face.attributes,
    )


def _object(found: DetectedObject) -> ResultDetection:
    return ResultDetection(
        detection_id=found.detection_id,
        index=found.index,
        detection_type=_TYPE_OF_CLASS.get(found.class_name, "object"),
        class_name=found.class_name,
        box=found.box,
        confidence=found.confidence,
        track_id=found.track_id,
        activity=found.activity,
    )
