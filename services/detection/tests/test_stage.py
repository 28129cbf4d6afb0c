from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from services.detection.tests.fakes import Chips, Meter, NoFrames
from typing_extensions import override

from detection.adapters.chip_metrics import ChipMetrics
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import GreyFace, Image, RawFace
from detection.domain.quality import QualityPolicy
from detection.ports import ChipCut, Decoded, FaceDetector, FaceView, ModelInfo
from detection.stage import DetectionPolicy, DetectionStage, Tools
from inference.engine import EngineError
from mesh.clock import ManualClock
from mesh.events import (
    BoundingBox,
    DetectedFace,
    FrameCaptured,
    FrameDetected,
    FrameRef,
    LedgerEntry,
    Outcome,
    Purpose,
    SequenceRange,
)
from mesh.identity import detection_id
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
MakeFace = Callable[..., RawFace]


class Crowd:
    """Finds the same faces in every picture."""

    def __init__(self, faces: list[RawFace], info: ModelInfo) -> None:
        self._faces = faces
        self.info = info

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        return [list(self._faces) for _ in images]

    def warm_up(self) -> None:
        """Nothing to warm."""


class DeadEngine(Crowd):
    """Refuses every picture."""

    @override
    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        raise EngineError("dead")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON + timedelta(milliseconds=50))


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def chips() -> Chips:
    return Chips()


@pytest.fixture
def make(
    fake_detector: FaceDetector, clock: ManualClock, meter: Meter, chips: Chips
) -> Callable[..., DetectionStage]:
    def build(
        detector: FaceDetector | None = None,
        counting: CountingTools | None = None,
        **policy: Any,
    ) -> DetectionStage:
        return DetectionStage(
            tools=Tools(
                detector=detector or fake_detector,
                tracker=ShortTermTracker(),
                decoder=counting or OpenCvDecoder(),
                cutter=counting or OpenCvFaceCutter(),
                frames=NoFrames(),
                meter=meter,
                clock=clock,
            ),
            policy=DetectionPolicy(**policy),
            chips=chips,
            topics=Topics("t."),
            instance_id="detection-0",
        )

    return build


@pytest.fixture
def stage(make: Callable[..., DetectionStage]) -> DetectionStage:
    return make()


class CountingTools:
    """Decodes and cuts as OpenCV does, and notes how much comes in each call."""

    def __init__(self) -> None:
        self.calls: dict[str, list[int]] = defaultdict(list)
        self._decoder, self._cutter = OpenCvDecoder(), OpenCvFaceCutter()

    def decode(self, pictures: Sequence[bytes]) -> Sequence[Decoded]:
        self.calls["decode"].append(len(pictures))
        return self._decoder.decode(pictures)

    def grey(self, faces: Sequence[FaceView]) -> Sequence[GreyFace]:
        self.calls["grey"].append(len(faces))
        return self._cutter.grey(faces)

    def chips(self, cuts: Sequence[ChipCut], *, quality: int) -> Sequence[bytes]:
        self.calls[f"chips at {quality}"].append(len(cuts))
        return self._cutter.chips(cuts, quality=quality)


def captured(image: bytes | None, number: int = 0, **changes: Any) -> Record[FrameCaptured]:
    header = {
        name: changes.pop(name)
        for name in ("purpose", "deadline", "width", "height", "camera_id", "lane")
        if name in changes
    }
    frame = a_frame_header(sequence_number=number, **header)
    frame = replace(frame, received_timestamp=NOON + timedelta(seconds=number / 5))
    return a_record(a_frame_captured(frame=frame, image=image, **changes), offset=number)


def only(outcome: object) -> FrameDetected:
    assert isinstance(outcome, Emit)
    (output,) = outcome.outputs
    assert isinstance(output.event, FrameDetected)
    assert output.topic == "t.detections"
    assert output.key == output.event.frame.camera_id
    return output.event


def face_of(outcome: object) -> DetectedFace:
    (face,) = only(outcome).faces
    return face


def test_a_face_is_reported_with_everything_recognition_needs(
    stage: DetectionStage, jpeg: Encode
) -> None:
    record = captured(jpeg(side=80), width=320, height=180)
    (outcome,) = stage.process([record])
    event, face = only(outcome), face_of(outcome)
    assert event.outcome is Outcome.PROCESSED
    assert event.reason is None
    assert event.frame == record.event.frame
    assert event.detection == record.event.detection
    assert face.index == 0
    assert face.detection_id == detection_id(event.frame.frame_key, 0)
    assert (face.box.x1, face.box.y1) == pytest.approx((100, 60), abs=4)
    assert len(face.landmarks) == 5
    assert face.track_id is not None
    assert face.pose is not None
    assert 0 < face.quality.score <= 1
    assert face.rejections == ()


def test_the_chip_shows_the_face_and_its_landmarks(stage: DetectionStage, jpeg: Encode) -> None:
    (outcome,) = stage.process([captured(jpeg(side=80))])
    face = face_of(outcome)
    assert face.chip is not None
    chip = cv2.imdecode(np.frombuffer(face.chip.image, np.uint8), cv2.IMREAD_COLOR)
    assert chip is not None
    assert chip.shape == (face.chip.height, face.chip.width, 3)
    assert face.chip.width == pytest.approx(1.4 * (face.box.x2 - face.box.x1), abs=2.5)
    assert len(face.chip.landmarks) == 5
    assert all(0 < point.x < face.chip.width for point in face.chip.landmarks)


def test_model_and_times_of_the_stage_are_told(stage: DetectionStage, jpeg: Encode) -> None:
    record = captured(jpeg(side=80))
    event = only(stage.process([record])[0])
    (use,) = event.models
    assert (use.task, use.model_id, use.device) == ("face-detection", "fake-detector", "CPU")
    assert [time.stage for time in event.stages] == ["camera", "detection"]
    assert event.stages[0] == record.event.stages[0]
    assert event.stages[1].instance_id == "detection-0"
    assert event.stages[1].ended_at >= event.stages[1].started_at


def test_a_picture_without_a_face_is_processed(stage: DetectionStage, jpeg: Encode) -> None:
    event = only(stage.process([captured(jpeg())])[0])
    assert (event.outcome, event.faces) == (Outcome.PROCESSED, ())


def test_an_empty_batch_is_nothing(stage: DetectionStage) -> None:
    assert stage.process([]) == []


def test_a_batch_is_one_call_of_the_engine(
    stage: DetectionStage, jpeg: Encode, meter: Meter
) -> None:
    outcomes = stage.process([captured(jpeg(side=60 + n), n) for n in range(5)])
    assert [only(outcome).frame.sequence_number for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert meter.counts == [5]


def test_huge_pictures_are_decoded_in_portions(
    make: Callable[..., DetectionStage], jpeg: Encode, meter: Meter
) -> None:
    stage = make(max_pixels=2 * 640 * 360)
    stage.process([captured(jpeg(side=60), n) for n in range(5)])
    assert meter.counts == [2, 2, 1]


def test_a_batch_gives_the_faces_that_single_calls_give(
    make: Callable[..., DetectionStage], jpeg: Encode
) -> None:
    records = [captured(jpeg(side=40 + 9 * n), n) for n in range(6)]
    together = [only(outcome).faces for outcome in make().process(records)]
    single = make()
    assert together == [only(single.process([record])[0]).faces for record in records]


def test_a_batch_replayed_by_another_process_gives_the_same_faces(
    make: Callable[..., DetectionStage], jpeg: Encode
) -> None:
    records = [captured(jpeg(side=60), n) for n in range(3)]
    assert make().process(records) == make().process(records)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "unreadable_image: empty"),
        (None, "unreadable_image: empty"),
        (b"hello", "unreadable_image: wrong_magic"),
        (b"\xff\xd8\xff\xe0 no picture \xff\xd9", "unreadable_image: truncated"),
    ],
)
def test_an_unreadable_picture_fails_alone(
    stage: DetectionStage, jpeg: Encode, image: bytes | None, reason: str
) -> None:
    good = jpeg(side=80)
    outcomes = stage.process([captured(good), captured(image, 1), captured(good, 2)])
    first, bad, last = (only(outcome) for outcome in outcomes)
    assert (bad.outcome, bad.reason, bad.faces, bad.models) == (Outcome.FAILED, reason, (), ())
    assert bad.stages[-1].stage == "detection"
    assert len(first.faces) == len(last.faces) == 1


def test_a_claim_check_that_cannot_be_had_fails(stage: DetectionStage) -> None:
    reference = FrameRef(uri="s3://frames/x", size_bytes=2_000_000, sha256="0" * 64)
    event = only(stage.process([captured(None, image_ref=reference)])[0])
    assert (event.outcome, event.reason) == (
        Outcome.FAILED,
        "image_ref_unavailable: it is gone",
    )


def test_a_picture_that_the_engine_refuses_fails_alone(
    stage: DetectionStage, jpeg: Encode, meter: Meter
) -> None:
    pictures = [jpeg(side=80), jpeg(13, 40), jpeg(side=80)]
    outcomes = stage.process([captured(image, n) for n, image in enumerate(pictures)])
    first, bad, last = (only(outcome) for outcome in outcomes)
    assert (bad.outcome, bad.reason, bad.faces) == (Outcome.FAILED, "engine_error", ())
    assert len(first.faces) == len(last.faces) == 1
    assert meter.failures == 1


def test_a_dead_engine_fails_every_frame(
    make: Callable[..., DetectionStage], fake_detector: FaceDetector, jpeg: Encode, meter: Meter
) -> None:
    stage = make(DeadEngine([], fake_detector.info))
    outcomes = stage.process([captured(jpeg(side=80), n) for n in range(2)])
    assert [only(outcome).reason for outcome in outcomes] == ["engine_error"] * 2
    assert meter.failures == 2


def test_a_request_past_its_deadline_is_shed_and_answered(
    stage: DetectionStage, jpeg: Encode, meter: Meter
) -> None:
    record = captured(
        jpeg(side=80), purpose=Purpose.PROCESS_FRAME, deadline=NOON, request=a_request()
    )
    event = only(stage.process([record])[0])
    assert (event.outcome, event.reason) == (Outcome.SHED, "deadline")
    assert event.request == record.event.request
    assert meter.counts == []


def test_surveillance_that_is_shed_leaves_only_ranges_in_the_ledger(
    stage: DetectionStage, jpeg: Encode
) -> None:
    late = [captured(b"", n, deadline=NOON) for n in (3, 4, 6)]
    outcomes = stage.process([late[0], captured(jpeg(side=80), 9), *late[1:]])
    outputs = [outcome.outputs for outcome in outcomes if isinstance(outcome, Emit)]
    entries = [o for leaving in outputs for o in leaving if isinstance(o.event, LedgerEntry)]
    (entry,) = entries
    assert (entry.topic, entry.key) == ("t.ledger", late[0].event.frame.camera_id)
    assert entry.event.ranges == (
        SequenceRange(first=3, last=4),
        SequenceRange(first=6, last=6),
    )
    assert (entry.event.outcome, entry.event.reason) == (Outcome.SHED, "deadline")
    assert entry.event.reported_at is not None
    assert [len(leaving) for leaving in outputs] == [1, 1, 0, 0]


def test_a_frame_given_up_for_a_client_leaves_as_a_record(stage: DetectionStage) -> None:
    record = captured(b"", purpose=Purpose.PROCESS_FRAME, request=a_request())
    event = only(*stage.give_up([record], "shed", "max_age"))
    assert (event.outcome, event.reason) == (Outcome.SHED, "max_age")
    assert event.stages[-1].stage == "detection"


def test_a_surveillance_frame_given_up_leaves_as_a_ledger_entry(stage: DetectionStage) -> None:
    (outcome,) = stage.give_up([captured(b"", 7)], "shed", "superseded")
    assert isinstance(outcome, Emit)
    (output,) = outcome.outputs
    assert isinstance(output.event, LedgerEntry)
    assert output.event.ranges == (SequenceRange(first=7, last=7),)
    assert (output.event.outcome, output.event.reason) == (Outcome.SHED, "superseded")


def test_a_poisonous_surveillance_frame_leaves_as_failed(stage: DetectionStage) -> None:
    event = only(*stage.give_up([captured(b"")], "failed", "poison"))
    assert (event.outcome, event.reason) == (Outcome.FAILED, "poison")


def test_a_request_for_a_task_without_a_model_fails_by_name(
    stage: DetectionStage, jpeg: Encode
) -> None:
    asked = a_request(model_type="person-detection")
    record = captured(jpeg(side=80), purpose=Purpose.PROCESS_FRAME, request=asked)
    event = only(stage.process([record])[0])
    assert (event.outcome, event.reason) == (Outcome.FAILED, "model_unavailable")


def test_a_walking_face_keeps_its_track(stage: DetectionStage, jpeg: Encode) -> None:
    pictures = [jpeg(x=60 + 12 * n, side=60) for n in range(5)]
    tracks = {
        face_of(stage.process([captured(image, n)])[0]).track_id for n, image in enumerate(pictures)
    }
    assert len(tracks) == 1


@pytest.mark.parametrize("purpose", [Purpose.PROCESS_FRAME, Purpose.ENROLLMENT, Purpose.SEARCH])
def test_pictures_that_clients_push_are_not_followed(
    stage: DetectionStage, jpeg: Encode, purpose: Purpose
) -> None:
    record = captured(jpeg(side=80), purpose=purpose, request=a_request())
    assert face_of(stage.process([record])[0]).track_id is None


def test_an_enrolment_photo_with_a_tiny_face_is_told_its_size(
    stage: DetectionStage, jpeg: Encode
) -> None:
    record = captured(jpeg(side=24), purpose=Purpose.ENROLLMENT, request=a_request())
    face = face_of(stage.process([record])[0])
    assert face.chip is not None
    (rejection,) = face.rejections
    assert rejection.reason == "too_small"
    assert rejection.value == pytest.approx(24, abs=4)
    assert rejection.limit == 32


def test_a_surveillance_frame_leaves_tiny_faces_out(stage: DetectionStage, jpeg: Encode) -> None:
    assert only(stage.process([captured(jpeg(side=24))])[0]).faces == ()


def test_an_unfit_face_is_reported_with_its_reasons(
    make: Callable[..., DetectionStage], jpeg: Encode
) -> None:
    stage = make(quality=QualityPolicy(min_face_size=100, max_brightness=50))
    face = face_of(stage.process([captured(jpeg(side=80))])[0])
    assert [rejection.reason for rejection in face.rejections] == ["too_small", "too_bright"]


def crowd(a_face: MakeFace, count: int) -> list[RawFace]:
    return [a_face(x=4.0 * (n % 60), y=20.0 + n // 60, side=60 + n % 7) for n in range(count)]


def test_a_crowd_gets_smaller_chips_within_the_budget(
    make: Callable[..., DetectionStage],
    fake_detector: FaceDetector,
    a_face: MakeFace,
    jpeg: Encode,
) -> None:
    stage = make(Crowd(crowd(a_face, 40), fake_detector.info), chip_budget=200_000)
    config = a_detection_config(max_faces_per_frame=200)
    event = only(stage.process([captured(jpeg(side=150), detection=config)])[0])
    chips = [face.chip for face in event.faces]
    assert len(chips) == 40
    assert all(chip is not None for chip in chips)
    assert sum(len(chip.image) for chip in chips if chip) <= 200_000


def test_the_plainest_chips_may_take_more_than_the_budget(
    make: Callable[..., DetectionStage],
    fake_detector: FaceDetector,
    a_face: MakeFace,
    jpeg: Encode,
) -> None:
    stage = make(Crowd(crowd(a_face, 60), fake_detector.info), chip_budget=50_000)
    config = a_detection_config(max_faces_per_frame=200)
    event = only(stage.process([captured(jpeg(side=150), detection=config)])[0])
    chips = [face.chip for face in event.faces if face.chip is not None]
    assert len(chips) == 60
    assert sum(len(chip.image) for chip in chips) > 50_000


def test_where_even_the_plainest_chips_are_too_many_the_largest_faces_keep_theirs(
    make: Callable[..., DetectionStage],
    chips: Chips,
    fake_detector: FaceDetector,
    a_face: MakeFace,
    jpeg: Encode,
) -> None:
    small = {"chip_budget": 50_000, "chip_limit": 50_000}
    stage = make(Crowd(crowd(a_face, 60), fake_detector.info), **small)
    config = a_detection_config(max_faces_per_frame=200)
    record = captured(jpeg(side=150), detection=config)
    answer = stage.process([record])[0]
    assert isinstance(answer, Emit)
    detections, notice = answer.outputs
    faces = detections.event.faces
    has_chip = [face.chip is not None for face in faces]
    assert has_chip == sorted(has_chip, reverse=True)
    assert 0 < sum(has_chip) < 60
    assert sum(len(face.chip.image) for face in faces if face.chip) <= 50_000
    reasons = [[why.reason for why in face.rejections] for face in faces]
    assert ["chip_budget" not in why for why in reasons] == has_chip, "who has none is told"
    assert faces[-1].rejections[-1].value > 50_000 == faces[-1].rejections[-1].limit
    assert (notice.topic, notice.event.event_type) == ("t.events", "chips_left_out")
    left_out = has_chip.count(False)
    assert notice.event.attributes["left_out_since"] == str(left_out)
    assert chips.count == left_out
    again = stage.process([record])[0]
    assert isinstance(again, Emit)
    assert len(again.outputs) == 1, "a camera tells it every ten minutes at most"
    assert chips.count == 2 * left_out, "but every face counts"


def test_faces_without_a_chip_are_a_metric_from_the_start() -> None:
    registry = CollectorRegistry()
    metrics = ChipMetrics(registry)
    assert registry.get_sample_value("sightline_detection_chips_left_out_total") == 0
    metrics.left_out(3)
    metrics.left_out(4)
    assert registry.get_sample_value("sightline_detection_chips_left_out_total") == 7


def test_a_face_half_outside_keeps_a_square_chip(
    make: Callable[..., DetectionStage],
    fake_detector: FaceDetector,
    a_face: MakeFace,
    jpeg: Encode,
) -> None:
    stage = make(Crowd([a_face(x=-40, y=-20, side=100)], fake_detector.info))
    face = face_of(stage.process([captured(jpeg())])[0])
    assert face.box == BoundingBox(x1=0, y1=0, x2=60, y2=80)
    assert face.chip is not None
    assert face.chip.width == face.chip.height == 113


def test_a_batch_is_decoded_measured_and_cut_in_one_call_each(
    make: Callable[..., DetectionStage], jpeg: Encode
) -> None:
    counting = CountingTools()
    images = [jpeg(side=60), b"nonsense", jpeg(side=0), jpeg(side=80)]
    outcomes = make(counting=counting).process([captured(i, n) for n, i in enumerate(images)])
    assert counting.calls == {"decode": [4], "grey": [2], "chips at 92": [2]}
    found = [only(outcome) for outcome in outcomes]
    assert [len(event.faces) for event in found] == [1, 0, 0, 1]
    assert [event.outcome for event in found] == [
        Outcome.PROCESSED,
        Outcome.FAILED,
        Outcome.PROCESSED,
        Outcome.PROCESSED,
    ]


def test_only_the_crowded_frame_of_a_batch_is_cut_again_more_coarsely(
    make: Callable[..., DetectionStage], fake_detector: FaceDetector, a_face: MakeFace
) -> None:
    """Each frame has a budget of its own: here noise of 200 px exceeds it, and grey does not."""
    counting = CountingTools()
    large = Crowd([a_face(40, 40, 200)], fake_detector.info)
    noise = np.random.default_rng(1).integers(0, 256, (320, 320, 3), np.uint8)
    frames = [np.full((320, 320, 3), 90, np.uint8), noise]
    images = [bytes(cv2.imencode(".jpg", frame)[1]) for frame in frames]
    stage = make(large, counting, chip_budget=25_000)
    plain, noisy = (
        face_of(outcome).chip
        for outcome in stage.process([captured(i, n) for n, i in enumerate(images)])
    )
    assert plain is not None
    assert noisy is not None
    assert (plain.width, noisy.width) == (224, 112)
    assert counting.calls["chips at 92"] == [2]
    assert [counting.calls[f"chips at {quality}"] for quality in (90, 88)] == [[1], [1]]
