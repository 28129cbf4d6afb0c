"""The parts of one writer loop, put together."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterLimit, DeadLetters
from mesh.kafka import KafkaConsumer, KafkaProducer
from mesh.kafka.ends import KafkaEnds
from mesh.kafka.standstill import Standstill
from mesh.logs import package_version
from mesh.process import Process
from mesh.registry import ConfluentRegistry
from mesh.retry import PATIENT
from mesh.schemas import SchemaLibrary
from results.adapters.objects import ObjectStore
from results.adapters.writer import BatchWriter, Observer, Writer
from results.adapters.writer_letters import Parking
from results.adapters.writer_pictures import PictureUploader
from results.adapters.writer_reader import PositionedReader
from results.adapters.writer_store import PostgresStore
from results.settings import ResultsSettings


def writer_loop(
    settings: ResultsSettings,
    process: Process,
    name: str,
    topics: Sequence[str],
    ends: KafkaEnds,
    observer: Observer | None = None,
) -> Callable[[], None]:
    """A loop that writes these topics until the process stops, with a group of its own.

    Args:
        settings: Where everything is.
        process: Told of heartbeat and readiness under `name`.
        name: Of the loop and its group.
        topics: Catalogue names.
        ends: Of these topics.
        observer: Who is told of what was written.

    Raises:
        ConfigurationError: a key, the registry or the object store is misconfigured.
    """
    names = [settings.topics(topic) for topic in topics]
    consumer = _consumer(settings, name)
    store = PostgresStore(settings.database_url)
    reader = _reader(settings, consumer, store, ends)
    batches = BatchWriter(
        reader=reader,
        store=store,
        pictures=PictureUploader(ObjectStore(settings.objects_url)),
        dead_letters=_parking(settings, process),
        codec=_codec(settings),
        catalogue_name=lambda topic: settings.topics.spec(topic).name,
        observer=observer,
        clock=SystemClock(),
    )
    writer = Writer(
        reader=reader,
        batches=batches,
        retry=PATIENT,
        clock=SystemClock(),
        heartbeat=process.health.heartbeat(name),
        metrics=process.metrics,
        max_records=settings.writer_batch,
        max_wait=settings.writer_wait,
    )
    process.health.ready[name] = writer.check

    def run() -> None:
        try:
            writer.run(names, process.stop)
        finally:
            consumer.close()
            store.close()

    return run


def _reader(
    settings: ResultsSettings, consumer: KafkaConsumer, store: PostgresStore, ends: KafkaEnds
) -> PositionedReader:
    return PositionedReader(
        consumer=consumer,
        positions=store,
        # Asked only for what waits: its patience does not matter, readiness is `Writer.check`.
        ends=Standstill(ends.read, SystemClock(), timedelta.max),
        clock=SystemClock(),
        instance_id=settings.instance_id,
    )


def ends_of(settings: ResultsSettings, topics: Sequence[str]) -> KafkaEnds:
    """Who asks the broker for the ends of these topics, by catalogue name."""
    names = [settings.topics(topic) for topic in topics]
    return KafkaEnds(settings.kafka_bootstrap, names, instance_id=settings.instance_id)


def _consumer(settings: ResultsSettings, name: str) -> KafkaConsumer:
    return KafkaConsumer(
        settings.kafka_bootstrap,
        settings.group(f"results-{name}"),
        instance_id=settings.instance_id,
        session_timeout=settings.session_timeout,
        config=settings.writer_fetch,
    )


def _codec(settings: ResultsSettings) -> AvroCodec:
    registry = ConfluentRegistry(settings.registry_url)
    return AvroCodec(registry, settings.topics, SchemaLibrary.packaged())


def _parking(settings: ResultsSettings, process: Process) -> Parking:
    producer = KafkaProducer(settings.kafka_bootstrap, instance_id=settings.instance_id)
    letters = DeadLetters(
        producer,
        Cipher(settings.secret_key),
        topic=settings.topics("dead-letters"),
        service="results",
        version=package_version("results"),
    )
    return Parking(letters, producer, limit=DeadLetterLimit(), metrics=process.metrics)
