"""What frames are searched for: tasks of cameras and requests, with and without their models."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from services.detection.tests.fakes import Chips, Meter, NoFrames

from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import EyeState, Image
from detection.domain.face_mesh import POINTS, SHAPES, FaceMesh
from detection.domain.thing import RawObject
from detection.ports import FaceDetector, FaceView, FurtherModels, Metered, ModelInfo
from detection.stage import DetectionPolicy, DetectionStage, Tools
from detection.stage.notices import Notices
from inference.chain import ChainTimeoutError
from inference.engine import EngineError
from mesh.clock import ManualClock
from mesh.events import (
    AgeGender,
    BoundingBox,
    FrameCaptured,
    FrameDetected,
    Liveness,
    LogEvent,
    Outcome,
    Pose,
    Purpose,
)
from mesh.record import Record
from mesh.stage import Emit
from mesh.testing import (
    NOON,
    a_detection_config,
    a_frame_captured,
    a_frame_header,
    a_record,
    a_request,
)
from mesh.topics import Topics

Encode = Callable[..., bytes]
STANDING = BoundingBox(x1=100, y1=20, x2=150, y2=160)
LYING = BoundingBox(x1=70, y1=110, x2=220, y2=165)


class Scene:
    """Sees the same objects in every picture, or what it is told to see next."""

    def __init__(self, info: ModelInfo, *objects: RawObject) -> None:
        self.info = info
        self.objects = list(objects)
        self.problem: type[EngineError] | None = None

    def detect(self, images: Sequence[Image]) -> list[list[RawObject]]:
        if self.problem:
            raise self.problem("no")
        return [list(self.objects) for _ in images]

    def warm_up(self) -> None:
        """Nothing to warm."""


class Says:
    """Says the same of every face."""

    def __init__(self, info: ModelInfo, reading: Any, *, most: int = 100) -> None:
        self.info = info
        self._reading = reading
        self._most = most

    def read(self, faces: Sequence[FaceView]) -> list[Any]:
        if isinstance(self._reading, EngineError):
            raise self._reading
        if len(faces) > self._most:
            raise EngineError("too many")
        return [self._reading for _ in faces]

    def warm_up(self) -> None:
        """Nothing to warm."""


def a_thing(
    kind: str = "person", box: BoundingBox = STANDING, confidence: float = 0.9
) -> RawObject:
    return RawObject(box=box, confidence=confidence, class_name=kind)


class Service:
    """The stage with some models, a meter for each of them, and a clock."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self.clock = ManualClock(NOON + timedelta(milliseconds=50))
        self.faces, self.further = Meter(), Meter()
        self.scene = Scene(
            detector.info, a_thing(), a_thing("car"), a_thing("dog"), a_thing(confidence=0.3)
        )

    def stage(self, **models: Any) -> DetectionStage:
        loaded: dict[str, Any] = {
            name: Metered(model, self.further) for name, model in models.items()
        }
        tools = Tools(
            detector=self.detector,
            tracker=ShortTermTracker(),
            decoder=OpenCvDecoder(),
            cutter=OpenCvFaceCutter(),
            frames=NoFrames(),
            meter=self.faces,
            clock=self.clock,
            further=FurtherModels(persons=ShortTermTracker(prefix="prs"), **loaded),
        )
        return DetectionStage(
            tools=tools,
            policy=DetectionPolicy(),
            chips=Chips(),
            topics=Topics("t."),
            instance_id="detection-0",
        )

    def says(self, reading: Any) -> Says:
        return Says(self.detector.info, reading)


@pytest.fixture
def service(fake_detector: FaceDetector) -> Service:
    return Service(fake_detector)


def seen(image: bytes, *tasks: str, number: int = 0, **config: Any) -> Record[FrameCaptured]:
    """A frame of a camera with these tasks, five a second."""
    frame = a_frame_header(sequence_number=number)
    frame = replace(frame, received_timestamp=NOON + timedelta(seconds=number / 5))
    detection = a_detection_config(tasks=tasks, **config)
    return a_record(a_frame_captured(frame=frame, image=image, detection=detection), offset=number)


def pushed(image: bytes, **changes: Any) -> Record[FrameCaptured]:
    frame = a_frame_header(purpose=changes.pop("purpose", Purpose.PROCESS_FRAME))
    return a_record(a_frame_captured(frame=frame, image=image, request=a_request(**changes)))


def events(outcome: object) -> list[Any]:
    assert isinstance(outcome, Emit)
    return [output.event for output in outcome.outputs]


def only(outcomes: Sequence[object]) -> FrameDetected:
    ((event,),) = (events(outcome) for outcome in outcomes)
    assert isinstance(event, FrameDetected)
    return event


@pytest.mark.parametrize(
    ("tasks", "classes"),
    [
        (("person",), ["person"]),
        (("vehicle",), ["car"]),
        (("object",), ["person", "car", "dog"]),
        (("person", "vehicle"), ["person", "car"]),
    ],
)
def test_a_camera_gets_the_objects_of_its_tasks(
    service: Service, jpeg: Encode, tasks: tuple[str, ...], classes: list[str]
) -> None:
    event = only(service.stage(objects=service.scene).process([seen(jpeg(side=80), *tasks)]))
    assert event.outcome is Outcome.PROCESSED
    assert [found.class_name for found in event.objects] == classes
    assert [found.index for found in event.objects] == list(range(len(classes)))
    assert event.faces == ()
    assert [use.task for use in event.models] == ["object-detection"]
    assert service.faces.counts == []


def test_a_camera_for_faces_alone_costs_the_object_detector_nothing(
    service: Service, jpeg: Encode
) -> None:
    stage = service.stage(objects=service.scene, liveness=service.says(None))
    event = only(stage.process([seen(jpeg(side=80), "face")]))
    assert (len(event.faces), event.objects) == (1, ())
    assert event.faces[0].attributes is None
    assert service.further.counts == []


def test_faces_and_objects_of_a_frame_have_identities_of_their_own(
    service: Service, jpeg: Encode
) -> None:
    stage = service.stage(objects=service.scene)
    event = only(stage.process([seen(jpeg(side=80), "face", "object")]))
    found: list[Any] = [*event.faces, *event.objects]
    assert len({item.detection_id for item in found}) == len(found) == 4
    assert len({item.track_id for item in found if item.track_id}) == 2


def test_persons_are_followed_and_other_objects_are_not(service: Service, jpeg: Encode) -> None:
    stage = service.stage(objects=service.scene)
    frames = [only(stage.process([seen(jpeg(), "object", number=n)])) for n in range(3)]
    assert len({frame.objects[0].track_id for frame in frames}) == 1
    assert frames[0].objects[0].track_id is not None
    assert frames[0].objects[1].track_id is None


def test_the_persons_of_a_pushed_picture_are_not_followed(service: Service, jpeg: Encode) -> None:
    stage = service.stage(objects=service.scene)
    event = only(stage.process([pushed(jpeg(), model_type="person-detection")]))
    assert [(found.class_name, found.track_id) for found in event.objects] == [("person", None)]


def test_a_fall_is_told_where_activity_is_asked_for(service: Service, jpeg: Encode) -> None:
    def watch(*tasks: str) -> FrameDetected:
        stage = service.stage(objects=service.scene)
        for number in range(30):
            share = min(max((number - 10) / 5, 0), 1)
            box = BoundingBox(
                **{
                    side: getattr(STANDING, side) * (1 - share) + getattr(LYING, side) * share
                    for side in ("x1", "y1", "x2", "y2")
                }
            )
            service.scene.objects = [a_thing(box=box)]
            event = only(stage.process([seen(jpeg(), *tasks, number=number)]))
        return event

    activity = watch("activity").objects[0].activity
    assert activity is not None
    assert activity.name == "fall"
    assert watch("person").objects[0].activity is None


def test_the_long_side_of_a_camera_reaches_the_detector(
    service: Service, fake_detector: Any, jpeg: Encode
) -> None:
    records = [
        seen(jpeg(side=80), "face", number=0),
        seen(jpeg(side=80), "face", number=1, long_side=1280),
        seen(jpeg(side=80), "face", number=2),
    ]
    outcomes = service.stage().process(records)
    assert fake_detector.calls == [2, 1]
    assert fake_detector.sides == [None, 1280]
    assert [len(events(outcome)[0].faces) for outcome in outcomes] == [1, 1, 1]


def test_a_camera_goes_on_without_the_tasks_that_no_model_can_do_and_says_so_once(
    service: Service, jpeg: Encode
) -> None:
    stage = service.stage()
    tasks = ("face", "person", "liveness")
    event, *notices = events(stage.process([seen(jpeg(side=80), *tasks)])[0])
    assert (event.outcome, len(event.faces)) == (Outcome.PROCESSED, 1)
    assert all(isinstance(notice, LogEvent) for notice in notices)
    assert [notice.attributes["task"] for notice in notices] == ["liveness", "person"]
    assert {notice.event_type for notice in notices} == {"task_unavailable"}
    assert len(events(stage.process([seen(jpeg(side=80), *tasks, number=1)])[0])) == 1
    service.clock.advance(660)
    assert len(events(stage.process([seen(jpeg(side=80), *tasks, number=2)])[0])) == 3


def test_a_camera_with_nothing_that_can_be_done_is_processed_without_a_look(
    service: Service, jpeg: Encode
) -> None:
    (outcome,) = service.stage().process([seen(jpeg(side=80), "person")])
    event, notice = events(outcome)
    assert (event.outcome, event.faces, event.objects) == (Outcome.PROCESSED, (), ())
    assert notice.camera_id == event.frame.camera_id
    assert service.faces.counts == []


@pytest.mark.parametrize("task", ["liveness", "age_gender", "drowsiness", "person", "nonsense"])
def test_a_request_that_needs_a_model_that_is_not_loaded_fails(
    service: Service, jpeg: Encode, task: str
) -> None:
    event = only(service.stage().process([pushed(jpeg(side=80), tasks=(task,))]))
    assert (event.outcome, event.reason) == (Outcome.FAILED, "model_unavailable")


def test_a_picture_for_drowsiness_needs_its_model(service: Service, jpeg: Encode) -> None:
    record = pushed(jpeg(side=80), purpose=Purpose.DROWSINESS)
    assert only(service.stage().process([record])).reason == "model_unavailable"
    eyes = service.says(EyeState(0.9, 0.1))
    (face,) = only(service.stage(eyes=eyes).process([record])).faces
    assert face.attributes is not None
    assert (face.attributes.left_eye_open, face.attributes.right_eye_open) == (0.9, 0.1)


def test_faces_carry_what_the_models_of_their_tasks_say(service: Service, jpeg: Encode) -> None:
    mesh = FaceMesh(
        np.random.default_rng(0).uniform(0, 100, (POINTS, 3)).astype(np.float32),
        np.full(SHAPES, 0.25, np.float32),
    )
    alive = Liveness(score=0.9, model_id="m")
    age = AgeGender(age_group="25-34", gender="male", gender_confidence=0.8, model_id="m")
    stage = service.stage(
        meshes=service.says(mesh),
        poses=service.says(Pose(yaw=80, pitch=5, roll=0)),
        liveness=service.says(alive),
        ages=service.says(age),
    )
    event = only(stage.process([seen(jpeg(side=80), "drowsiness", "liveness", "age_gender")]))
    (face,) = event.faces
    said = face.attributes
    assert said is not None
    assert (said.liveness, said.age_gender, said.left_eye_blink, said.smile) == (
        *(alive, age),
        *(0.25, 0.25),
    )
    assert len(said.left_eye_contour) == len(said.right_eye_contour) == 16
    assert len(said.mouth_contour) == 40
    assert face.pose == Pose(yaw=80, pitch=5, roll=0)
    assert [rejection.field for rejection in face.rejections] == ["yaw"]
    assert [use.task for use in event.models] == [
        "face-detection",
        "face-landmarks",
        "head-pose",
        "liveness",
        "age-gender",
    ]
    assert face.chip is None, "without the task face nobody is recognised"


def test_a_face_that_a_model_fails_on_goes_without(service: Service, jpeg: Encode) -> None:
    stage = service.stage(liveness=service.says(EngineError("no")))
    event = only(stage.process([seen(jpeg(side=80), "face", "liveness")]))
    (face,) = event.faces
    assert face.chip is not None
    assert face.attributes is not None
    assert face.attributes.liveness is None
    assert (service.further.failures, service.further.counts) == (1, [])


def test_faces_of_all_frames_of_a_batch_are_asked_about_together(
    service: Service, jpeg: Encode
) -> None:
    alive = service.says(Liveness(score=0.9, model_id="m"))
    frames = [
        seen(jpeg(side=80), "face", "liveness"),
        seen(jpeg(side=80), "face", number=1),
        seen(jpeg(side=80), "face", "liveness", number=2),
    ]
    outcomes = service.stage(liveness=alive).process(frames)
    found = [only([outcome]) for outcome in outcomes]
    said = [
        face.attributes.liveness if face.attributes else None
        for (face,) in (event.faces for event in found)
    ]
    assert [reading is None for reading in said] == [False, True, False]
    assert service.further.counts == [2]
    assert [len(event.models) for event in found] == [2, 1, 2]


def test_a_frame_that_a_model_fails_on_costs_the_others_nothing(
    service: Service, jpeg: Encode
) -> None:
    picky = Says(service.detector.info, Liveness(score=0.9, model_id="m"), most=1)
    frames = [seen(jpeg(side=80), "face", "liveness", number=number) for number in (0, 1)]
    outcomes = service.stage(liveness=picky).process(frames)
    for outcome in outcomes:
        (face,) = only([outcome]).faces
        assert face.attributes is not None
        assert face.attributes.liveness is not None
    assert (service.further.failures, service.further.counts) == (0, [1, 1])


@pytest.mark.parametrize(
    ("problem", "reason"), [(EngineError, "engine_error"), (ChainTimeoutError, "model_timeout")]
)
def test_an_object_detector_that_fails_fails_the_frames_that_ask_for_it(
    service: Service, jpeg: Encode, problem: type[EngineError], reason: str
) -> None:
    service.scene.problem = problem
    stage = service.stage(objects=service.scene)
    records = [
        seen(jpeg(side=80), "face", number=0),
        seen(jpeg(side=80), "face", "person", number=1),
    ]
    good, bad = (events(outcome)[0] for outcome in stage.process(records))
    assert (good.outcome, len(good.faces)) == (Outcome.PROCESSED, 1)
    assert (bad.outcome, bad.reason, bad.faces, bad.models) == (Outcome.FAILED, reason, (), ())


def test_a_picture_that_was_turned_upright_has_its_upright_size(
    service: Service, jpeg: Encode
) -> None:
    data = jpeg(320, 180, side=80)
    tag = (0x0112).to_bytes(2, "big") + b"\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + tag + bytes(4)
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    event = only(service.stage().process([seen(turned, "face")]))
    assert (event.frame.width, event.frame.height) == (180, 320)
    (face,) = event.faces
    assert face.box.y2 <= 320


def test_only_the_latest_cameras_are_remembered_to_have_been_told(service: Service) -> None:
    notices = Notices(service.clock, "detection-0", chips=Chips(), most=2)
    frames = [a_frame_header(camera_id=f"cam_{n}") for n in range(3)]
    assert [len(notices.about(frame, ["person"])) for frame in frames] == [1, 1, 1]
    assert [len(notices.about(frame, ["person"])) for frame in frames[1:]] == [0, 0]
    assert len(notices.about(frames[0], ["person"])) == 1
