"""Composition root of the detection service."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from detection.adapters.engines import load_detector
from detection.adapters.frame_store import NoFrameStore
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.model_status import ModelHeartbeat
from detection.adapters.tracker import ShortTermTracker
from detection.ports import FaceDetector
from detection.settings import DetectionSettings
from detection.stage import DetectionPolicy, DetectionStage, Tools
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.events import Lane, ModelStatus
from mesh.kafka import EventProducer, WorkerOptions, WorkerPolicy, build_worker
from mesh.models import ModelRegistry, ModelStore
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.scheduler import LaneSpec, RoundRobin, older_than_max_age
from mesh.schemas import SchemaLibrary
from mesh.stage import Output
from mesh.topics import Topics

LANES = ((Lane.URGENT, 4, 32), (Lane.REQUEST, 3, 32), (Lane.LIVE, 2, 256), (Lane.EVIDENCE, 1, 32))
"""Lane, guaranteed share of a batch, records held in memory."""
WARM_UP_RUNS = 10
HEARTBEAT_PATIENCE = timedelta(seconds=5)


def main() -> None:
    """Runs the service until SIGTERM."""
    run_service("detection", DetectionSettings, _serve)


def _serve(settings: DetectionSettings, process: Process) -> None:
    detector = _detector(settings)
    lanes = lanes_of(settings.topics)
    scheduler = RoundRobin(lanes)
    heartbeat = ModelHeartbeat(
        info=detector.info,
        instance_id=settings.instance_id,
        publish=_publisher(settings),
        waiting=lambda: sum(scheduler.waiting(lane.name) for lane in lanes),
        clock=SystemClock(),
    )
    process.health.ready |= {"model": heartbeat.model_check, "broker": heartbeat.broker_check}
    with heartbeat:
        for _ in range(WARM_UP_RUNS):
            detector.warm_up()
        heartbeat.loaded()
        policy = WorkerPolicy(batch_size=detector.info.max_batch)
        build_worker(
            settings,
            stage=_stage(settings, detector, heartbeat),
            group="detection",
            lanes=lanes,
            topics=settings.topics,
            codec=_codec(settings),
            health=process.health,
            stop=process.stop,
            options=WorkerOptions(policy=policy, metrics=process.metrics, scheduler=scheduler),
        ).run()


def lanes_of(topics: Topics) -> Sequence[LaneSpec]:
    """The frame topics, most urgent first, each with a guaranteed share of every batch."""
    urgent, request, live, evidence = (
        LaneSpec(name=lane, topics=(topics.lane(lane),), share=share, prefetch=prefetch)
        for lane, share, prefetch in LANES
    )
    return urgent, request, replace(live, newest_wins=True, stale=older_than_max_age), evidence


def _detector(settings: DetectionSettings) -> FaceDetector:
    return load_detector(
        ModelRegistry.load().pack(settings.model_pack),
        ModelStore(folder=settings.models_dir, cache=settings.models_cache),
        long_side=settings.detection_long_side,
        threads=settings.detection_threads,
        max_batch=settings.detection_batch,
    )


def _stage(
    settings: DetectionSettings, detector: FaceDetector, heartbeat: ModelHeartbeat
) -> DetectionStage:
    tools = Tools(
        detector=detector,
        tracker=ShortTermTracker(),
        decoder=OpenCvDecoder(),
        cutter=OpenCvFaceCutter(),
        frames=NoFrameStore(),
        meter=heartbeat,
        clock=SystemClock(),
    )
    return DetectionStage(
        tools=tools,
        policy=DetectionPolicy(chip_budget=settings.detection_chip_budget),
        topics=settings.topics,
        instance_id=settings.instance_id,
    )


def _codec(settings: DetectionSettings) -> AvroCodec:
    return AvroCodec(
        ConfluentRegistry(settings.registry_url), settings.topics, SchemaLibrary.packaged()
    )


def _publisher(settings: DetectionSettings) -> Callable[[ModelStatus], None]:
    producer = EventProducer(settings, _codec(settings))

    def publish(status: ModelStatus) -> None:
        producer.send(Output(settings.topics("model-status"), status.model_id, status))
        producer.flush(HEARTBEAT_PATIENCE)

    return publish
