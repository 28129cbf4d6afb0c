"""Composition root of the recognition service."""

from contextlib import closing
from functools import partial

from mesh.background import Background
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.kafka import KafkaPlatform
from mesh.kafka.events import build_heartbeat
from mesh.model_status import Duty, ModelMeter
from mesh.models import ModelStore
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from recognition.adapters.database import Database, migrate, until_up
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.model_pack import load_embedder
from recognition.adapters.outbox import OutboxRelay
from recognition.adapters.pgvector_gallery import PgVectorGallery
from recognition.adapters.postgres_registry import PostgresRegistry
from recognition.adapters.workers import NAME, Work, create_worker
from recognition.domain.fusion import TrackFusion
from recognition.settings import RecognitionSettings
from recognition.stage import (
    CommandStage,
    Enroller,
    GalleryGate,
    RecognitionStage,
    Reembedder,
    Surroundings,
)

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
    codec = AvroCodec(
        ConfluentRegistry(settings.registry_url), settings.topics, SchemaLibrary.packaged()
    )
    database = Database(settings.database_url)
    gallery = PgVectorGallery(database, model_id, settings.gallery_policy, SystemClock())
    process.health.ready |= {"database": database.check, "gallery": gallery.check}
    until_up(partial(migrate, settings.database_url), process.stop)
    with closing(database):
        database.open()
        relay = OutboxRelay(database, KafkaPlatform(settings).producer())
        registry = PostgresRegistry(
            database,
            codec,
            settings.topics,
            changing=gallery.changing,
            committed=relay.wake,
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
        process.health.ready |= heartbeat.checks
        with Background(NAME, process.stop) as background:
            background.start(heartbeat.run)
            embedder.warm_up()
            until_up(reembedder.run_first, process.stop)
            until_up(gallery.refresh, process.stop)
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
            gate = partial(GalleryGate, gallery=gallery.check, database=database.check)
            others = Work(CommandStage(registry, gallery, around), "gallery.commands")
            commands = create_worker(settings, process, codec, others)
            background.start(lambda _stop, _warn: commands.run())
            create_worker(settings, process, codec, Work(frames, "detections", gate)).run()
