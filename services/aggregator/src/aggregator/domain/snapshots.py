"""The face pictures that policy keeps: the best of a sighting, and those a client asked for.

A picture leaves with the frame that it is cut from, or never: state holds no pixels.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from aggregator.domain.event_time import event_time
from mesh.events import (
    FaceChip,
    FrameHeader,
    FrameRecognized,
    Outcome,
    RecognizedFace,
    Snapshot,
)

REQUESTED = "requested"
BEST_OF_SIGHTING = "best_of_sighting"


def requested(event: FrameRecognized) -> tuple[Snapshot, ...]:
    """A picture of every face, if the request asks for them and the frame did not fail."""
    if event.request is None or not event.request.return_snapshots:
        return ()
    if event.outcome is not Outcome.PROCESSED:
        return ()
    at = event_time(event.frame)
    return tuple(
        _snapshot(event.frame, found, found.face.chip, at, reason=REQUESTED, sighting_id=None)
        for found in event.faces
        if found.face.chip is not None
    )


def best_of_sightings(
    event: FrameRecognized, best: Iterable[tuple[str, RecognizedFace]]
) -> tuple[Snapshot, ...]:
    """The pictures of faces that became the best of their sighting.

    Args:
        event: The frame.
        best: Pairs of sighting_id and face; faces without a chip have no picture.
    """
    at = event_time(event.frame)
    return tuple(
        _snapshot(
            event.frame, found, found.face.chip, at, reason=BEST_OF_SIGHTING, sighting_id=sighting
        )
        for sighting, found in best
        if found.face.chip is not None
    )


def _snapshot(
    frame: FrameHeader,
    found: RecognizedFace,
    chip: FaceChip,
    at: datetime,
    *,
    reason: str,
    sighting_id: str | None,
) -> Snapshot:
    return Snapshot(
        detection_id=found.face.detection_id,
        camera_id=frame.camera_id,
        frame_key=frame.frame_key,
        sighting_id=sighting_id,
        reason=reason,
        sha256=hashlib.sha256(chip.image).hexdigest(),
        image=chip.image,
        image_format="jpeg",
        width=chip.width,
        height=chip.height,
        taken_at=at,
    )
