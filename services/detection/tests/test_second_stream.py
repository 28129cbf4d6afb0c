"""Cameras with a second stream: detection looks at the small picture, chips come from the large."""

from collections.abc import Callable

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from services.detection.tests.fakes import Chips, Meter, NoFrames

from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import Picture, RawFace
from detection.domain.scale import Scale
from detection.domain.thing import RawObject
from detection.ports import FaceDetector
from detection.stage import DetectionPolicy, DetectionStage, Tools
from mesh.clock import ManualClock
from mesh.events import BoundingBox, DetectedFace, FrameDetected, Outcome, Point
from mesh.stage import Emit
from mesh.testing import NOON, a_frame_captured, a_frame_header, a_record
from mesh.topics import Topics

Encode = Callable[..., bytes]


def detected(
    detector: FaceDetector, image: bytes, small: bytes | None
) -> tuple[FrameDetected, DetectedFace]:
    stage = DetectionStage(
        tools=Tools(
            detector=detector,
            tracker=ShortTermTracker(),
            decoder=OpenCvDecoder(),
            cutter=OpenCvFaceCutter(),
            frames=NoFrames(),
            meter=Meter(),
            clock=ManualClock(NOON),
        ),
        policy=DetectionPolicy(),
        chips=Chips(),
        topics=Topics("t."),
        instance_id="detection-0",
    )
    frame = a_frame_header(width=640, height=360)
    event = a_frame_captured(frame=frame, image=image, detection_image=small)
    (outcome,) = stage.process([a_record(event)])
    assert isinstance(outcome, Emit)
    (output,) = outcome.outputs
    assert isinstance(output.event, FrameDetected)
    (face,) = output.event.faces
    return output.event, face


def test_boxes_and_points_are_in_pixels_of_the_large_picture(
    fake_detector: FaceDetector, jpeg: Encode
) -> None:
    """The small picture is squeezed: half as wide, a third as high."""
    small = jpeg(320, 120, x=100, y=30, side=40)
    event, face = detected(fake_detector, jpeg(640, 360), small)
    assert (event.frame.width, event.frame.height) == (640, 360)
    assert face.box.x1 == 2 * 100
    assert face.box.y1 == 3 * 30
    assert face.box.x2 - face.box.x1 == 2 * (face.box.y2 - face.box.y1) / 3
    assert all(face.box.x1 < point.x < face.box.x2 for point in face.landmarks)
    assert all(face.box.y1 < point.y < face.box.y2 for point in face.landmarks)


def test_chips_are_cut_from_the_large_picture(fake_detector: FaceDetector, jpeg: Encode) -> None:
    """Only the large picture is green: so is the chip."""
    green = np.zeros((360, 640, 3), np.uint8)
    green[:, :, 1] = 180
    image = bytes(cv2.imencode(".jpg", green)[1])
    _, face = detected(fake_detector, image, jpeg(320, 180, x=100, y=60, side=50))
    assert face.chip is not None
    chip = cv2.imdecode(np.frombuffer(face.chip.image, np.uint8), cv2.IMREAD_COLOR)
    assert chip is not None
    assert abs(float(chip[:, :, 1].mean()) - 180) < 4
    assert float(chip[:, :, (0, 2)].mean()) < 4


def test_without_a_readable_small_picture_the_large_one_is_searched(
    fake_detector: FaceDetector, jpeg: Encode
) -> None:
    image = jpeg(640, 360, x=200, y=100, side=80)
    for small in (None, b"\xff\xd8\xff nothing"):
        event, face = detected(fake_detector, image, small)
        assert event.outcome is Outcome.PROCESSED
        assert (face.box.x1, face.box.y1) == (200, 100)


@given(st.integers(16, 900), st.integers(16, 900), st.integers(16, 3000), st.integers(16, 3000))
def test_a_face_that_fills_one_picture_fills_the_other(
    width: int, height: int, shown_width: int, shown_height: int
) -> None:
    searched = np.broadcast_to(np.uint8(0), (height, width, 3))
    shown: Picture = np.broadcast_to(np.uint8(0), (shown_height, shown_width, 3))
    scale = Scale.between(searched, shown)
    box = BoundingBox(x1=0.0, y1=0.0, x2=float(width), y2=float(height))
    corner = Point(x=float(width), y=float(height))
    face = scale.face(RawFace(box=box, confidence=0.5, landmarks=(corner,)))
    thing = scale.thing(RawObject(box=box, confidence=0.5, class_name="person"))
    assert face.box == thing.box
    assert (face.box.x1, face.box.y1) == (0.0, 0.0)
    assert abs(face.box.x2 - shown_width) < 1e-6 * shown_width
    assert abs(face.box.y2 - shown_height) < 1e-6 * shown_height
    assert (face.landmarks[0].x, face.landmarks[0].y) == (face.box.x2, face.box.y2)
