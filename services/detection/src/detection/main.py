"""Composition root of the detection service."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from detection.adapters.engines import load_detector
from detection.adapters.frame_store import NoFrameStore
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter
from detection.adapters.tracker import ShortTermTracker
from detection.ports import FaceDetector
from detection.settings import DetectionSettings
from detection.stage import TASK, DetectionPolicy, DetectionStage, Tools
from mesh.background import Background
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.events import Lane
from mesh.kafka import Downstream, WorkerOptions, WorkerPolicy, build_worker
from mesh.kafka.events import build_heartbeat
from mesh.model_status import Duty, ModelMeter
from mesh.models import ModelRegistry, ModelStore
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import LaneSpec, by_priority, never, older_than_max_age
from mesh.schemas import SchemaLibrary
from mesh.topics import Topics

LANES = ((Lane.URGENT, 4, 32), (Lane.REQUEST, 3, 32), (Lane.LIVE, 2, 256), (Lane.EVIDENCE, 1, 32))
"""Lane, guaranteed share of a batch, records held in memory."""
NEXT_STAGES = {"recognition.detections": "detections", "aggregator": "recognitions"}
"""Consumer groups after this stage, and what each reads."""
WARM_UP_RUNS = 10
NAME = "detection"


def main() -> None:
    """Runs the service until SIGTERM."""
    run_service(NAME, DetectionSettings, _serve)


def _serve(settings: DetectionSettings, process: Process) -> None:
    detector = _detector(settings)
    downstream = Downstream(settings, NEXT_STAGES)
    lanes = lanes_of(settings.topics, held=downstream.behind)
    scheduler = DeficitRoundRobin(lanes)
    meter = ModelMeter(SystemClock())
    duty = Duty(
        service=NAME,
        task=TASK,
        max_batch=detector.info.max_batch,
        waiting=lambda: sum(scheduler.waiting(lane.name) for lane in lanes),
    )
    codec = AvroCodec(
        ConfluentRegistry(settings.registry_url), settings.topics, SchemaLibrary.packaged()
    )
    heartbeat = build_heartbeat(settings, codec, detector.info, duty=duty, meter=meter)
    process.health.ready |= heartbeat.checks
    with Background(NAME, process.stop) as background:
        background.start(heartbeat.run)
        background.start(downstream.run)
        for _ in range(WARM_UP_RUNS):
            detector.warm_up()
        meter.loaded()
        policy = WorkerPolicy(batch_size=duty.max_batch, batch_timeout=settings.batch_timeout)
        build_worker(
            settings,
            stage=_stage(settings, detector, meter),
            group=NAME,
            lanes=lanes,
            codec=codec,
            health=process.health,
            stop=process.stop,
            options=WorkerOptions(policy=policy, metrics=process.metrics, scheduler=scheduler),
        ).run()


def lanes_of(topics: Topics, held: Callable[[], bool] = never) -> Sequence[LaneSpec]:
    """The frame topics, most urgent first; evidence waits while the next stages are behind."""
    urgent, request, live, evidence = (
        LaneSpec(
            name=lane,
            topics=(topics.lane(lane),),
            share=share,
            weight=by_priority,
            prefetch=prefetch,
        )
        for lane, share, prefetch in LANES
    )
    live = replace(live, newest_wins=True, stale=older_than_max_age)
    return urgent, request, live, replace(evidence, held=held)


def _detector(settings: DetectionSettings) -> FaceDetector:
    return load_detector(
        ModelRegistry.load().pack(settings.model_pack),
        ModelStore(folder=settings.models_dir, cache=settings.models_cache),
        long_side=settings.detection_long_side,
        threads=settings.detection_threads,
        max_batch=settings.detection_batch,
    )


def _stage(
    settings: DetectionSettings, detector: FaceDetector, meter: ModelMeter
) -> DetectionStage:
    tools = Tools(
        detector=detector,
        tracker=ShortTermTracker(),
        decoder=OpenCvDecoder(),
        cutter=OpenCvFaceCutter(),
        frames=NoFrameStore(),
        meter=meter,
        clock=SystemClock(),
    )
    return DetectionStage(
        tools=tools,
        policy=DetectionPolicy(chip_budget=settings.detection_chip_budget),
        topics=settings.topics,
        instance_id=settings.instance_id,
    )
