"""The service as a whole: on a broker in memory, and as a process on the real one."""

import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import pytest
from pydantic import SecretStr
from services.detection.tests.fakes import Chips, NoFrames
from services.detection.tests.running import KEY, PATIENCE, Reader, measured, ready, wait_until
from typing_extensions import override

from detection.adapters.engines import load_detector
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.lanes import lanes_of
from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import Picture
from detection.ports import FaceDetector
from detection.stage import DetectionPolicy, DetectionStage, Tools
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.errors import ConfigurationError
from mesh.events import (
    FrameCaptured,
    FrameDetected,
    Lane,
    LogEvent,
    ModelStatus,
    Outcome,
    Purpose,
    SequenceRange,
)
from mesh.health import Health
from mesh.identity import frame_key, new_epoch, new_id
from mesh.kafka import EventProducer, KafkaTail, WorkerOptions, build_worker
from mesh.memory import InMemoryBroker
from mesh.model_status import ModelMeter
from mesh.models import ModelRegistry, ModelStore
from mesh.record import Record
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_detection_config, a_frame_captured, a_frame_header, a_request
from mesh.topics import CATALOGUE, Topics

Encode = Callable[..., bytes]
TOPICS = Topics()
PATIENT_MS = 600_000


def a_frame(image: bytes, number: int, lane: Lane, **changes: Any) -> FrameCaptured:
    """Frame `number` of the lane's own camera, received now."""
    header = a_frame_header(
        camera_id=f"cam_{lane}",
        sequence_number=number,
        lane=lane,
        received_timestamp=datetime.now(UTC),
        purpose=Purpose.PROCESS_FRAME if lane is Lane.REQUEST else Purpose.SURVEILLANCE,
    )
    event = a_frame_captured(frame=header, image=image)
    return replace(event, request=a_request() if lane is Lane.REQUEST else None, **changes)


def test_every_lane_is_read_and_frames_may_be_superseded_in_two() -> None:
    lanes = lanes_of(TOPICS)
    assert [lane.name for lane in lanes] == ["urgent", "request", "live", "evidence"]
    assert [lane.topics for lane in lanes] == [(TOPICS.lane(lane),) for lane in Lane]
    assert [lane.newest_wins for lane in lanes] == [True, False, True, False]
    assert all(lane.share >= 1 for lane in lanes)


def test_only_evidence_waits_for_the_next_stages() -> None:
    lanes = lanes_of(TOPICS, held=lambda: True)
    assert [lane.name for lane in lanes if lane.held()] == ["evidence"]


class Unhurried(SystemClock):
    """No time passes while a lane is read to its end, which a worker does for a moment only."""

    @override
    def monotonic(self) -> float:
        return 0.0


class Installation:
    """The service on a broker in memory, with frames waiting in every lane."""

    def __init__(self, detector: FaceDetector) -> None:
        self.broker = InMemoryBroker([TOPICS(spec.name) for spec in CATALOGUE])
        self.codec = AvroCodec.in_memory(TOPICS)
        self.stop = threading.Event()
        clock = SystemClock()
        tools = Tools(
            detector=detector,
            tracker=ShortTermTracker(),
            decoder=OpenCvDecoder(),
            cutter=OpenCvFaceCutter(),
            frames=NoFrames(),
            meter=ModelMeter(clock),
            clock=clock,
        )
        self.worker = build_worker(
            MeshSettings(secret_key=SecretStr(KEY)),
            stage=DetectionStage(
                tools=tools,
                policy=DetectionPolicy(),
                chips=Chips(),
                topics=TOPICS,
                instance_id="detection-0",
            ),
            group="detection",
            lanes=lanes_of(TOPICS),
            codec=self.codec,
            health=Health(),
            stop=self.stop,
            options=WorkerOptions(platform=self.broker, clock=Unhurried()),
        )

    def capture(self, event: FrameCaptured) -> None:
        topic = TOPICS.lane(event.frame.lane)
        self.broker.append(topic, event.frame.camera_id, self.codec.encode(topic, event))

    def read(self, name: str) -> list[Any]:
        topic = TOPICS(name)
        return [self.codec.decode(topic, raw.event or b"") for raw in self.broker.records(topic)]

    def ended(self) -> list[tuple[str, int]]:
        """Lane and number of every frame that has an outcome, in order."""
        records = [event.frame for event in self.read("detections")]
        ranges = [(entry.lane, span) for entry in self.read("ledger") for span in entry.ranges]
        numbers = [(frame.lane, frame.sequence_number) for frame in records]
        for lane, span in ranges:
            numbers += [(lane, number) for number in range(span.first, span.last + 1)]
        return sorted(numbers)


def test_every_frame_on_the_topics_ends_exactly_once(
    fake_detector: FaceDetector, jpeg: Encode
) -> None:
    installation = Installation(fake_detector)
    patient, picture = a_detection_config(max_age_ms=PATIENT_MS), jpeg(side=70)
    everything = sorted((lane.value, number) for lane in Lane for number in range(5))
    for lane, number in everything:
        installation.capture(a_frame(picture, number, Lane(lane), detection=patient))
    runner = threading.Thread(target=installation.worker.run)
    runner.start()
    wait_until(lambda: len(installation.ended()) >= len(everything))
    installation.stop.set()
    runner.join(PATIENCE)
    assert installation.ended() == everything
    assert {entry.reason for entry in installation.read("ledger")} == {"superseded"}
    frames = [event.frame for event in installation.read("detections")]
    for lane in (Lane.URGENT, Lane.LIVE):
        assert [each.sequence_number for each in frames if each.lane is lane] == [4]


def test_what_is_shed_together_is_one_ledger_record_per_camera(
    fake_detector: FaceDetector, jpeg: Encode
) -> None:
    installation = Installation(fake_detector)
    patient, picture = a_detection_config(max_age_ms=PATIENT_MS), jpeg(side=70)
    for number in range(50):
        for camera in range(4):
            event = a_frame(picture, number, Lane.LIVE, detection=patient)
            header = replace(event.frame, camera_id=f"cam_{camera}")
            installation.capture(replace(event, frame=header))
    runner = threading.Thread(target=installation.worker.run)
    runner.start()
    wait_until(lambda: len(installation.ended()) >= 200)
    installation.stop.set()
    runner.join(PATIENCE)
    entries = installation.read("ledger")
    assert len(entries) == 4
    assert {span for entry in entries for span in entry.ranges} == {SequenceRange(first=0, last=48)}
    assert len(installation.read("detections")) == 4


def test_a_missing_model_file_refuses_the_start_by_name(tmp_path: Path) -> None:
    store = ModelStore(folder=tmp_path, cache=tmp_path)
    with pytest.raises(ConfigurationError, match=r"yunet_2023mar_dynamic\.onnx"):
        load_detector(
            ModelRegistry.load().pack("yunet-omz"), store, long_side=640, threads=1, max_batch=4
        )


def test_an_altered_model_file_refuses_the_start_by_name(tmp_path: Path) -> None:
    (tmp_path / "yunet_2023mar_dynamic.onnx").write_bytes(b"nonsense")
    store = ModelStore(folder=tmp_path, cache=tmp_path)
    with pytest.raises(ConfigurationError, match=r"yunet_2023mar_dynamic\.onnx is altered"):
        load_detector(
            ModelRegistry.load().pack("yunet-omz"), store, long_side=640, threads=1, max_batch=4
        )


def test_the_dlib_pack_is_loaded_from_its_package(predictor: Path, tmp_path: Path) -> None:
    detector = load_detector(
        ModelRegistry.load().pack("dlib"),
        ModelStore(folder=None, cache=tmp_path),
        long_side=640,
        threads=1,
        max_batch=4,
    )
    info = detector.info
    assert (info.model_id, info.pack, info.engine, info.max_batch) == (
        "dlib-hog-5pt",
        "dlib",
        "dlib",
        4,
    )
    assert "yolo-face-cpu" in info.aliases


def test_the_yunet_pack_is_loaded_from_the_given_folder(models_dir: Path) -> None:
    detector = load_detector(
        ModelRegistry.load().pack("yunet-omz"),
        ModelStore(folder=models_dir, cache=models_dir),
        long_side=320,
        threads=1,
        max_batch=4,
    )
    assert detector.info.model_id == "yunet-2023mar"


@pytest.mark.integration
def test_the_process_detects_faces_on_a_real_broker_and_stops_in_order(
    settings: MeshSettings,
    service: "subprocess.Popen[bytes]",
    client: ConfluentRegistry,
    free_port: int,
    astronaut: Picture,
    jpeg: Encode,
) -> None:
    wait_until(lambda: ready(free_port) or service.poll() is not None)
    topics = settings.topics
    codec = AvroCodec(client, topics, SchemaLibrary.packaged())
    camera, epoch, now = new_id("cam"), new_epoch(datetime.now(UTC)), datetime.now(UTC)
    face = bytes(cv2.imencode(".jpg", cv2.resize(astronaut, (256, 256)))[1])
    producer = EventProducer(settings, codec)
    for number, image in enumerate([face, b"\xff\xd8\xff broken", jpeg(), face]):
        event = a_frame_captured(
            frame=a_frame_header(
                camera_id=camera,
                epoch=epoch,
                sequence_number=number,
                frame_key=frame_key(camera, epoch, number),
                lane=Lane.EVIDENCE,
                received_timestamp=now + timedelta(milliseconds=200 * number),
            ),
            image=image,
            detection=a_detection_config(min_face_size=20),
        )
        producer.send(Output(topics.lane(Lane.EVIDENCE), camera, event))
    producer.flush()

    frames: list[FrameDetected] = []
    models: list[ModelStatus] = []
    done = threading.Event()

    def take(record: Record[Any]) -> None:
        (frames if isinstance(record.event, FrameDetected) else models).append(record.event)

    tail = KafkaTail(settings, codec, topics=[topics("detections"), topics("model-status")])
    reader = threading.Thread(target=tail.run, args=(take, done))
    reader.start()
    try:
        wait_until(lambda: len(frames) >= 4 and bool(models))
    finally:
        done.set()
        reader.join(PATIENCE)
    assert [event.frame.sequence_number for event in frames] == [0, 1, 2, 3]
    assert [event.outcome for event in frames] == [
        Outcome.PROCESSED,
        Outcome.FAILED,
        Outcome.PROCESSED,
        Outcome.PROCESSED,
    ]
    assert [len(event.faces) for event in frames] == [1, 0, 0, 1]
    assert frames[0].faces[0].track_id == frames[3].faces[0].track_id is not None
    assert frames[0].models[0].model_id == "dlib-hog-5pt"
    assert (models[-1].instance_id, models[-1].state) == ("detection-7", "available")
    assert "sightline_detection_chips_left_out_total 0.0" in measured(free_port)
    service.send_signal(signal.SIGTERM)
    assert service.wait(PATIENCE) == 0


@pytest.mark.integration
def test_a_model_is_switched_while_frames_come_and_a_command_outlives_a_restart(
    reader: Reader,
    second_model: str,
    service: "subprocess.Popen[bytes]",
    restart: Callable[[], "subprocess.Popen[bytes]"],
    jpeg: Encode,
) -> None:
    assert reader.detect(jpeg()).models[0].model_id == "dlib-hog-5pt"
    reader.switch(second_model)
    told = reader.wait(LogEvent, lambda event: event.event_type == "model_switched")
    assert told.attributes["serving_before"] == "dlib-hog-5pt"
    assert reader.detect(jpeg()).models[0].model_id == second_model
    reader.wait(ModelStatus, lambda status: status.model_id == second_model)

    reader.switch("dlib-resnet-v1")
    refused = reader.wait(LogEvent, lambda event: event.event_type == "model_switch_refused")
    assert "face-recognition, not for face-detection" in refused.message
    assert reader.detect(jpeg()).models[0].model_id == second_model

    service.kill()
    service.wait(PATIENCE)
    again = restart()
    frame = reader.detect(jpeg())
    assert (frame.outcome, frame.models[0].model_id) == (Outcome.PROCESSED, second_model)
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE) == 0
