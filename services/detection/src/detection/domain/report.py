"""What detection says of frames: records about them, and ledger entries of those it gave up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from mesh.events import (
    DetectedFace,
    DetectedObject,
    FrameCaptured,
    FrameDetected,
    FrameHeader,
    LedgerEntry,
    ModelUse,
    Outcome,
    Purpose,
    StageTime,
)
from mesh.sequences import as_ranges

STAGE = "detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a frame ended."""

    outcome: Outcome
    reason: str | None = None


PROCESSED = Ending(outcome=Outcome.PROCESSED)


def failed(reason: str) -> Ending:
    """The frame could not be processed."""
    return Ending(outcome=Outcome.FAILED, reason=reason)


def shed(reason: str) -> Ending:
    """The frame was given up on purpose."""
    return Ending(outcome=Outcome.SHED, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Who worked, and when."""

    instance_id: str
    started_at: datetime
    ended_at: datetime

    @property
    def stage_time(self) -> StageTime:
        """As the frame carries it on."""
        return StageTime(
            stage=STAGE,
            instance_id=self.instance_id,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )


def frame_detected(
    event: FrameCaptured,
    ending: Ending,
    shift: Shift,
    *,
    faces: Sequence[DetectedFace] = (),
    objects: Sequence[DetectedObject] = (),
    models: Sequence[ModelUse] = (),
) -> FrameDetected:
    """The record that carries the frame on to recognition."""
    return FrameDetected(
        frame=event.frame,
        outcome=ending.outcome,
        reason=ending.reason,
        faces=tuple(faces),
        objects=tuple(objects),
        detection=event.detection,
        request=event.request,
        models=tuple(models),
        stages=(*event.stages, shift.stage_time),
    )


def goes_to_ledger_only(frame: FrameHeader, ending: Ending) -> bool:
    """Whether the frame leaves no record: shed surveillance, where nobody waits for an answer."""
    return ending.outcome is Outcome.SHED and frame.purpose is Purpose.SURVEILLANCE


def ledger_entries(
    frames: Iterable[tuple[FrameHeader, Ending]], *, instance_id: str, reported_at: datetime
) -> list[LedgerEntry]:
    """One entry per camera, epoch, lane and reason, its sequence numbers as ranges."""
    ordered = sorted(frames, key=_account)
    return [
        LedgerEntry(
            camera_id=camera_id,
            epoch=epoch,
            lane=members[0][0].lane,
            outcome=members[0][1].outcome,
            reason=members[0][1].reason,
            ranges=as_ranges(frame.sequence_number for frame, _ in members),
            service=STAGE,
            instance_id=instance_id,
            reported_at=reported_at,
        )
        for (camera_id, epoch, *_), group in groupby(ordered, key=_account)
        for members in [list(group)]
    ]


def _account(item: tuple[FrameHeader, Ending]) -> tuple[str, int, str, str, str]:
    frame, ending = item
    return frame.camera_id, frame.epoch, frame.lane, ending.outcome, ending.reason or ""
