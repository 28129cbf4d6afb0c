"""The whole of detection in one process: from JPEG bytes to chips, without Kafka around it.

Pictures of 720p with four faces each go through the stage as the service builds it: decode, detect,
select, follow, measure, cut, encode. On a GPU they stay there until they are chips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import cycle, islice
from statistics import median
from typing import Any

import cv2
import numpy as np

from bench.gpu_load import utilisation
from bench.material import Material
from bench.pathway import faces_of
from bench.rounds import take_turns
from detection.adapters.jpeg import decode_picture, encoded
from detection.adapters.placed import PlacedPictures
from detection.adapters.tracker import ShortTermTracker
from detection.domain.chip import chip_window
from detection.domain.face import Picture
from detection.ports import FaceDetector
from detection.stage import DetectionPolicy, DetectionStage, Tools
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError
from mesh.events import FrameCaptured, FrameDetected, FrameRef, Outcome
from mesh.record import Record
from mesh.testing import NOON, a_frame_captured, a_frame_header, a_record
from mesh.topics import Topics

FACES = 4
GOAL = 3000.0
"""Frames per second on an H100."""
_WIDTH, _HEIGHT, _SIDE = 1280, 720, 240
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Amount:
    """How much."""

    batches: Sequence[int]
    rounds: int
    seconds: float


class _Unheard:
    """Is told and forgets; has no stored pictures."""

    def worked(self, count: int, seconds: float) -> None:
        """Nobody asks."""

    def failed(self) -> None:
        """The outcomes tell."""

    def left_out(self, count: int) -> None:
        """The faces tell."""

    def load(self, reference: FrameRef) -> bytes:
        """No frame of this benchmark asks."""
        raise NotImplementedError


def measure(detector: FaceDetector, pictures: Sequence[bytes], amount: Amount) -> dict[str, Any]:
    """Frames per second of the stage with this detector, by batch.

    Args:
        detector: says by its `info` where it wants pictures.
        pictures: see `crowded`.
        amount: batches, rounds and seconds.

    Raises:
        ConfigurationError: a frame did not come out with its faces and chips.
    """
    info = detector.info
    placed = PlacedPictures(lambda: info.pictures_on)
    placed.warm_up()
    stage = _stage(detector, placed)
    rows = []
    for batch in amount.batches:
        records = _records(pictures, batch)
        _check(stage, records)
        work = partial(stage.process, records)
        turns = take_turns({"stage": work}, rounds=amount.rounds, seconds=amount.seconds)
        speed = round(batch / median(turns.wall["stage"]), 1)
        busy = utilisation(info.device, work)
        rows.append({"batch": batch, "frames_per_s": speed, "gpu_utilisation": busy})
    return {
        "model": info.model_id,
        "engine": info.engine,
        "device": info.device,
        "pictures_on": info.pictures_on or "the host",
        "rows": rows,
    }


def crowded(where: Material, finder: FaceDetector) -> list[bytes]:
    """720p pictures with four faces: those of the clip, enlarged, on a plain ground.

    Args:
        where: the clip.
        finder: finds them.

    Raises:
        ConfigurationError: the clip shows too few faces.
    """
    portraits = []
    for data in where.pictures()[::25]:
        picture = decode_picture(data)
        portraits += [_portrait(picture, face) for face in faces_of(finder, picture)]
    grounds = [_ground(portraits[start : start + FACES]) for start in range(len(portraits) - FACES)]
    kept = [one for one in grounds if len(faces_of(finder, decode_picture(one))) == FACES]
    if not kept:
        raise ConfigurationError("the clip has no four faces for pictures of 720p")
    return kept


def _portrait(picture: Picture, face: Any) -> Picture:
    window = chip_window(face.box)
    x, y = max(window.x, 0), max(window.y, 0)
    cut = picture[y : window.y + window.side, x : window.x + window.side]
    portrait: Picture = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return portrait


def _ground(portraits: Sequence[Picture]) -> bytes:
    ground = np.full((_HEIGHT, _WIDTH, 3), 110, np.uint8)
    for number, portrait in enumerate(portraits):
        x, y = 80 + 300 * number, 60 + 120 * (number % 3)
        ground[y : y + _SIDE, x : x + _SIDE] = portrait
    return encoded(ground, _QUALITY)


def _stage(detector: FaceDetector, placed: PlacedPictures) -> DetectionStage:
    unheard = _Unheard()
    tools = Tools(
        detector=detector,
        tracker=ShortTermTracker(),
        decoder=placed,
        cutter=placed,
        frames=unheard,
        meter=unheard,
        clock=ManualClock(NOON),
    )
    return DetectionStage(
        tools=tools,
        policy=DetectionPolicy(),
        chips=unheard,
        topics=Topics("bench."),
        instance_id="bench",
    )


def _records(pictures: Sequence[bytes], batch: int) -> list[Record[FrameCaptured]]:
    """A frame of as many cameras, whose deadline never comes."""
    found = []
    for number, image in enumerate(islice(cycle(pictures), batch)):
        frame = a_frame_header(
            camera_id=f"cam_{number}", width=_WIDTH, height=_HEIGHT, deadline=None
        )
        frame = replace(frame, received_timestamp=NOON + timedelta(milliseconds=number))
        found.append(a_record(a_frame_captured(frame=frame, image=image), offset=number))
    return found


def _check(stage: DetectionStage, records: Sequence[Record[FrameCaptured]]) -> None:
    for outcome in stage.process(records):
        events = [output.event for output in getattr(outcome, "outputs", ())]
        event = next((one for one in events if isinstance(one, FrameDetected)), None)
        chips = [face.chip for face in event.faces if face.chip] if event else []
        if event is None or event.outcome is not Outcome.PROCESSED or len(chips) < FACES - 1:
            raise ConfigurationError(f"a frame came out with {len(chips)} chips, not {FACES}")
