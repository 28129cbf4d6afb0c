"""Composition root of the recognition service."""

from contextlib import closing
from functools import partial

from inference.commands import build_news, follow_commands
from inference.placing import Placing
from mesh.background import Background
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.kafka import KafkaPlatform
from mesh.kafka.events import build_heartbeat
from mesh.model_status import ModelMeter
from mesh.models import open_registry, open_store
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from recognition.adapters.database import Database, migrate, until_up
from recognition.adapters.exchange import Exchange, Recognizer
from recognition.adapters.fallback import TASK, Embedders, FallbackEmbedder
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.outbox import OutboxRelay
from recognition.adapters.pgvector_gallery import PgVectorGallery
from recognition.adapters.postgres_registry import PostgresRegistry
from recognition.adapters.workers import NAME, Place, Work, create_worker
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


def main() -> None:
    """Run the service until SIGTERM."""
    run_service(NAME, RecognitionSettings, _serve)


def _serve(settings: RecognitionSettings, process: Process) -> None:
    codec = AvroCodec(
        ConfluentRegistry(settings.registry_url), settings.topics, SchemaLibrary.packaged()
    )
    news = build_news(settings, codec, service=NAME, task=TASK)
    models, store = open_registry(settings), open_store(settings)
    placing = Placing(
        process.metrics.registry, by_matrix=settings.by_matrix, cameras=settings.cameras
    )
    embedders = Embedders(settings, models, store, news, placing.preferred)
    first = embedders.load(models.pack(settings.model_pack).embedder.model_id)
    database = Database(settings.database_url)
    relay = OutboxRelay(database, KafkaPlatform(settings).producer())
    exchange = Exchange(process.stop)
    registry = PostgresRegistry(
        database, codec, settings.topics, changing=exchange.changing, committed=relay.wake
    )
    meter = ModelMeter(SystemClock())
    recognizer_of = partial(_recognizer, settings, database, registry, meter)
    exchange.begin(recognizer_of(first))
    meter.follow(lambda: exchange.serving.embedder.state())
    heartbeat = build_heartbeat(
        settings,
        codec,
        lambda: exchange.serving.embedder.serving(),
        duty=lambda: exchange.serving.duty(settings.recognition_batch, store),
        meter=meter,
    )
    process.health.ready |= {"database": database.check, "gallery": exchange.check}
    until_up(partial(migrate, settings.database_url), process.stop)
    with closing(database):
        database.open()
        process.health.ready |= heartbeat.checks
        with Background(NAME, process.stop) as background:
            background.start(heartbeat.run)
            background.start(news.run)
            first.warm_up()
            meter.loaded()
            switch = embedders.switch(first, lambda one: exchange.prepare(recognizer_of(one)))
            follow_commands(settings, codec, switch, background)
            until_up(exchange.read_first, process.stop)
            for work in (relay.run, exchange.follow, exchange.reembed):
                background.start(work)
            gate = partial(GalleryGate, gallery=exchange.check, database=database.check)
            worker = partial(create_worker, settings, process, codec)
            commands = worker(Work(exchange.commands, "gallery.commands"))
            background.start(lambda _stop, _warn: commands.run())
            worker(Work(exchange.frames, "detections", gate, Place(placing, exchange.device))).run()


def _recognizer(
    settings: RecognitionSettings,
    database: Database,
    registry: PostgresRegistry,
    meter: ModelMeter,
    embedder: FallbackEmbedder,
) -> Recognizer:
    """Everything that hangs on the model of this embedder."""
    model = embedder.info
    policy = settings.matching(model.model_id)
    around = Surroundings(SystemClock(), settings.topics, settings.instance_id, model)
    metered = MeteredEmbedder(embedder, meter, SystemClock())
    gallery = PgVectorGallery(database, model.model_id, settings.gallery_policy, SystemClock())
    frames = RecognitionStage(
        embedder=metered,
        gallery=gallery,
        enroller=Enroller(registry, settings.photos, policy, around),
        fusion=TrackFusion(settings.fusion(model.model_id)),
        policy=policy,
        around=around,
    )
    return Recognizer(
        embedder=embedder,
        gallery=gallery,
        frames=frames,
        commands=CommandStage(registry, gallery, around),
        reembedder=Reembedder(registry, metered, around),
        calibration=policy.calibration,
    )
