"""Composition root of the recognition service."""

from contextlib import closing

from mesh.background import Background
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.health import Health
from mesh.kafka import KafkaPlatform, StreamWorker, WorkerOptions, WorkerPolicy, build_worker
from mesh.kafka.events import build_heartbeat
from mesh.model_status import Duty, ModelMeter
from mesh.models import ModelStore
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.scheduler import LaneSpec
from mesh.schemas import SchemaLibrary
from recognition.adapters.database import Database, migrate
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.model_pack import load_embedder
from recognition.adapters.outbox import OutboxRelay
from recognition.adapters.pgvector_gallery import GalleryPolicy, PgVectorGallery
from recognition.adapters.postgres_registry import PostgresRegistry
from recognition.domain.fusion import TrackFusion
from recognition.settings import RecognitionSettings
from recognition.stage import CommandStage, Enroller, RecognitionStage, Reembedder, Surroundings

NAME = "recognition"
TASK = "face-recognition"


def main() -> None:
    """Run the service until SIGTERM."""
    run_service(NAME, RecognitionSettings, _serve)


def _serve(settings: RecognitionSettings, process: Process) -> None:
    store = ModelStore(folder=settings.models_dir, cache=settings.models_cache)
    meter = ModelMeter(SystemClock())
    embedder = MeteredEmbedder(
        load_embedder(settings.model_pack, store, threads=settings.recognition_threads),
        meter,
        SystemClock(),
    )
    model_id = embedder.info.model_id
    policy = settings.matching(model_id)
    around = Surroundings(SystemClock(), settings.topics, settings.instance_id, embedder.info)
    registry_client = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(registry_client, settings.topics, SchemaLibrary.packaged())
    migrate(settings.database_url)
    with closing(Database(settings.database_url)) as database:
        database.open()
        limits = GalleryPolicy(
            max_age_seconds=settings.gallery_max_age_s, mirror_limit=settings.gallery_mirror_limit
        )
        gallery = PgVectorGallery(database, model_id, limits, SystemClock())
        relay = OutboxRelay(database, KafkaPlatform(settings).producer())
        registry = PostgresRegistry(
            database, codec, settings.topics, committed=(gallery.written, relay.wake)
        )
        duty = Duty(
            service=NAME,
            task=TASK,
            max_batch=settings.recognition_batch,
            embedding_size=embedder.info.dim,
            threshold=lambda: policy.calibration.threshold(gallery.size()),
        )
        heartbeat = build_heartbeat(settings, codec, embedder.info, duty=duty, meter=meter)
        reembedder = Reembedder(registry, embedder, around)
        process.health.ready |= {**heartbeat.checks, "gallery": gallery.check}
        with Background(NAME, process.stop) as background:
            background.start(heartbeat.run)
            embedder.warm_up()
            reembedder.run_first()
            gallery.refresh()
            for work in (relay.run, gallery.follow, reembedder.run):
                background.start(work)
            frames = RecognitionStage(
                embedder=embedder,
                gallery=gallery,
                enroller=Enroller(registry, settings.photos, policy, around),
                fusion=TrackFusion(settings.fusion(model_id)),
                policy=policy,
                around=around,
            )
            commands = CommandStage(registry, gallery, around)
            others = _worker(settings, process, codec, commands, "gallery.commands")
            background.start(lambda _stop, _warn: others.run())
            _worker(settings, process, codec, frames, "detections").run()


def _worker(
    settings: RecognitionSettings,
    process: Process,
    codec: AvroCodec,
    stage: RecognitionStage | CommandStage,
    topic: str,
) -> StreamWorker:
    """A worker with a group of its own over one topic; its checks are named for the topic."""
    health = Health()
    worker = build_worker(
        settings,
        stage=stage,
        group=NAME,
        lanes=[LaneSpec(name=topic, topics=(settings.topics(topic),), group=f"{NAME}.{topic}")],
        codec=codec,
        health=health,
        stop=process.stop,
        options=WorkerOptions(
            policy=WorkerPolicy(
                batch_size=settings.recognition_batch, batch_timeout=settings.batch_timeout
            ),
            metrics=process.metrics,
        ),
    )
    process.health.live |= {f"{name} of {topic}": check for name, check in health.live.items()}
    process.health.ready |= {f"{name} of {topic}": check for name, check in health.ready.items()}
    return worker
