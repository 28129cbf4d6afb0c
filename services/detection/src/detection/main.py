"""Composition root of the detection service."""

from collections.abc import Sequence
from functools import partial

from detection.adapters.chained import places_of
from detection.adapters.chip_metrics import ChipMetrics
from detection.adapters.engines import load_detector
from detection.adapters.fallback import Detectors, FallbackDetector
from detection.adapters.frame_store import ObjectFrameStore
from detection.adapters.further_models import Loaded, equip, load_further
from detection.adapters.heartbeats import further_heartbeats
from detection.adapters.lanes import lanes_of
from detection.adapters.placed import PlacedPictures
from detection.adapters.tracker import ShortTermTracker
from detection.ports import FaceDetector
from detection.settings import DetectionSettings
from detection.stage import TASK, DetectionPolicy, DetectionStage, Tools
from inference.commands import build_news, follow_commands
from inference.placing import Placing
from inference.pool import PooledStage, watch_device
from mesh.background import Background
from mesh.claims import ClaimChecks
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.dependencies import Dependencies
from mesh.kafka import Downstream, WorkerOptions, WorkerPolicy, build_worker
from mesh.kafka.events import build_heartbeat
from mesh.model_status import Duty, ModelMeter
from mesh.models import open_registry, open_store
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.retry import PATIENT
from mesh.round_robin import DeficitRoundRobin
from mesh.schemas import SchemaLibrary

NEXT_STAGES = {"recognition.detections": "detections", "aggregator": "recognitions"}
"""Consumer groups after this stage, and what each reads."""
NAME = "detection"


def main() -> None:
    """Runs the service until SIGTERM."""
    run_service(NAME, DetectionSettings, _serve)


def _serve(settings: DetectionSettings, process: Process) -> None:
    schemas = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(schemas, settings.topics, SchemaLibrary.packaged())
    registry, store = open_registry(settings), open_store(settings)
    news = build_news(settings, codec, service=NAME, task=TASK)
    detectors = Detectors(settings, registry, partial(load_detector, store=store), news)
    pack = registry.pack(settings.model_pack)
    placing = Placing(
        process.metrics.registry, by_matrix=settings.by_matrix, cameras=settings.cameras
    )
    detector = FallbackDetector(detectors.chain(pack.detector.model_id), placing.preferred)
    downstream = Downstream(settings, NEXT_STAGES)
    lanes = lanes_of(settings.topics, held=downstream.behind)
    scheduler = DeficitRoundRobin(lanes)
    meter = ModelMeter(SystemClock())
    meter.follow(detector.state)
    duty = Duty(
        service=NAME,
        task=TASK,
        max_batch=settings.batch,
        waiting=lambda: sum(scheduler.waiting(lane.name) for lane in lanes),
        drift=store.drift,
    )
    pool = watch_device(placing, lambda: detector.serving().device, waiting=duty.waiting)
    heartbeat = build_heartbeat(settings, codec, detector.serving, duty=duty, meter=meter)
    claims = ClaimChecks(settings.objects_url)
    store_watch = Dependencies({"object_store": claims.check})
    process.health.ready |= heartbeat.checks
    process.health.partial |= store_watch.checks
    with Background(NAME, process.stop) as background:
        for work in (heartbeat.run, downstream.run, news.run, store_watch.run):
            background.start(work)
        detector.warm_up()
        pictures = PlacedPictures(
            lambda: None if placing.preferred() else detector.serving().pictures_on
        )
        pictures.warm_up()
        meter.loaded()
        places = places_of(settings, news, placing.preferred)
        further = load_further(pack, store, tasks=settings.tasks, places=places)
        background.start(further_heartbeats(settings, codec, further, store.drift))
        follow_commands(settings, codec, detectors.switch(detector), background)
        policy = WorkerPolicy(
            batch_size=duty.max_batch, batch_timeout=settings.batch_timeout, retry=PATIENT
        )
        tools = _tools(detector, pictures, meter, further, claims)
        build_worker(
            settings,
            stage=PooledStage(_stage(settings, process, tools), pool),
            group=NAME,
            lanes=lanes,
            codec=codec,
            health=process.health,
            stop=process.stop,
            options=WorkerOptions(policy=policy, metrics=process.metrics, scheduler=scheduler),
        ).run()


def _tools(
    detector: FaceDetector,
    pictures: PlacedPictures,
    meter: ModelMeter,
    further: Sequence[Loaded],
    claims: ClaimChecks,
) -> Tools:
    return Tools(
        detector=detector,
        tracker=ShortTermTracker(),
        decoder=pictures,
        cutter=pictures,
        frames=ObjectFrameStore(claims),
        meter=meter,
        clock=SystemClock(),
        further=equip(further, persons=ShortTermTracker(prefix="prs")),
    )


def _stage(settings: DetectionSettings, process: Process, tools: Tools) -> DetectionStage:
    return DetectionStage(
        tools=tools,
        policy=DetectionPolicy(chip_budget=settings.detection_chip_budget),
        chips=ChipMetrics(process.metrics.registry),
        topics=settings.topics,
        instance_id=settings.instance_id,
    )
