"""The Faust application: one agent over `recognitions`, one table of cameras, one timer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import faust
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor

from aggregator.adapters.acknowledgements import Acknowledgements, Fail, watched
from aggregator.adapters.aggregation import Aggregation
from aggregator.adapters.camera_table import CameraTable
from aggregator.adapters.faust_transport import MeshTransport
from aggregator.adapters.forgetting import Forgetting
from aggregator.adapters.publisher import Publisher
from aggregator.adapters.registered_cameras import RegisteredCameras
from aggregator.adapters.rejects import Rejects
from aggregator.adapters.silence import SilenceWatch
from aggregator.adapters.stall import STALL, StallWatch
from aggregator.adapters.state_codec import StateCodec
from aggregator.domain.idleness import IdlePolicy
from aggregator.ports import Reducer
from mesh.clock import Clock
from mesh.crypto import Cipher
from mesh.health import Check
from mesh.kafka.standstill import Bounds, Standstill
from mesh.partitioning import partition_of
from mesh.ports import Codec, WorkerMetrics
from mesh.record import RawRecord, Record, TopicPartition
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings

SERVICE = "aggregator"
_TICK = timedelta(seconds=1)
_SWEEP = timedelta(minutes=10)
_BUFFERED_RECORDS = 64
_PRODUCE_WITHIN_S = 60.0
_GATHER_S = 0.002
"""What a frame causes, its state, result and sightings, goes to the broker in one request."""
_LARGEST_RECORD = 4 * 1024 * 1024
"""Bytes; dead letters are the largest records."""
_FETCHED_BYTES = 256 * 1024
"""Of one partition at a time, or one record if that is larger. aiokafka hands out all that it
fetched of one before it looks at the next, so this is what a partition waits for."""
_CHANGELOG = {"max.compaction.lag.ms": "600000", "segment.ms": "600000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of."""

    stage: Reducer
    codec: Codec
    cipher: Cipher
    """Encrypts dead letters."""
    clock: Clock
    metrics: WorkerMetrics
    folder: Path
    """This process's own, for the tables."""
    standby_replicas: int
    """Copies of each table partition on other instances."""
    silence_after: timedelta
    """A camera that was silent for longer has its sightings closed."""
    idle: IdlePolicy
    """A camera that was silent for longer is forgotten."""
    bounds: Callable[[], Bounds]
    """Asks the broker how far the partitions of `recognitions` go."""
    ready: dict[str, Check]
    """Gets the check of the registry."""
    fail: Fail
    """Told of an exception that must end the process."""


def create_app(settings: MeshSettings, parts: Parts) -> faust.App:
    """An application that is ready to start; call it inside of the loop that runs it."""
    parts.folder.mkdir(parents=True, exist_ok=True)
    app = _app(settings, parts)
    source = settings.topics("recognitions")
    table = CameraTable(
        app,
        StateCodec(SchemaLibrary.packaged()),
        source=source,
        partitions=settings.partitions,
        config=_CHANGELOG | {"min.insync.replicas": str(min(2, settings.replication))},
    )
    aggregation = _aggregation(app, settings, parts, table)
    parts.ready["registry"] = aggregation.check
    _add_agent(app, source, aggregation)
    places = partial(partition_of, partitions=settings.partitions)
    forgetting = Forgetting(
        aggregation=aggregation,
        table=table,
        registered=RegisteredCameras(settings, parts.clock),
        clock=parts.clock,
        policy=parts.idle,
    )
    _add_timers(app, source, aggregation, partial(forgetting.sweep, places), parts)
    still = Standstill(parts.bounds, parts.clock, STALL)
    _add_watch(app, source, aggregation.check, parts.metrics, StallWatch(still, parts.fail))

    async def resume() -> None:
        # Faust loses what is raised here.
        await asyncio.wait([watched(aggregation.resume(places), parts.fail)])

    table.table.on_recover(resume)
    return app


def _app(settings: MeshSettings, parts: Parts) -> faust.App:
    brokers = ";".join(f"kafka://{each.strip()}" for each in settings.kafka_bootstrap.split(","))
    session = settings.session_timeout.total_seconds()
    app = faust.App(
        settings.group(SERVICE),
        broker=brokers,
        broker_client_id=settings.instance_id,
        broker_session_timeout=session,
        broker_heartbeat_interval=min(2.0, session / 3),
        broker_commit_interval=1.0,
        broker_max_poll_records=_BUFFERED_RECORDS,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=_FETCHED_BYTES,
        producer_acks=-1,
        producer_linger=_GATHER_S,
        producer_max_request_size=_LARGEST_RECORD,
        producer_request_timeout=_PRODUCE_WITHIN_S,
        processing_guarantee="at_least_once",
        stream_buffer_maxsize=_BUFFERED_RECORDS,
        stream_wait_empty=True,
        store="rocksdb://",
        datadir=parts.folder,
        table_standby_replicas=parts.standby_replicas,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_disable_leader=True,
        agent_supervisor=CrashingSupervisor,
        autodiscover=False,
        web_enabled=False,
    )
    app.transport = MeshTransport(app.conf.broker_consumer, app)
    return app


def _aggregation(
    app: faust.App, settings: MeshSettings, parts: Parts, table: CameraTable
) -> Aggregation:
    return Aggregation(
        stage=parts.stage,
        table=table,
        codec=parts.codec,
        publisher=Publisher(app, parts.codec, parts.metrics),
        rejects=Rejects(
            cipher=parts.cipher,
            topic=settings.topics("dead-letters"),
            service=SERVICE,
            metrics=parts.metrics,
        ),
        acknowledgements=Acknowledgements(parts.fail, parts.metrics),
        watch=SilenceWatch(
            parts.clock, after=parts.silence_after, stall=settings.session_timeout / 2
        ),
        clock=parts.clock,
    )


def _add_agent(app: faust.App, source: str, aggregation: Aggregation) -> None:
    topic = app.topic(
        source,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )

    async def aggregate(stream: StreamT) -> None:
        """Take every record in order; an offset goes only when its outputs are acknowledged."""
        async for event in stream.noack().events():
            await aggregation.take(_record_of(event), event.ack)

    app.agent(topic, name="aggregate")(aggregate)


def _add_timers(
    app: faust.App,
    source: str,
    aggregation: Aggregation,
    sweep: Callable[[Callable[[int], bool]], Awaitable[None]],
    parts: Parts,
) -> None:
    def caught_up(partition: int) -> bool:
        place = TP(source, partition)
        owned = not app.rebalancing and place in app.consumer.assignment()
        return owned and _lag_of(app, place) == 0

    async def close() -> None:
        await aggregation.close_silent(caught_up)

    async def forget() -> None:
        await sweep(caught_up)

    app.timer(interval=_TICK)(close)
    app.timer(interval=min(_SWEEP, max(_TICK, parts.idle.registered / 4)))(forget)


def _add_watch(
    app: faust.App, source: str, waits_for: Check, metrics: WorkerMetrics, stalls: StallWatch
) -> None:
    async def look() -> None:
        owned = [place for place in app.consumer.assignment() if place.topic == source]
        for place in owned:
            if (lag := _lag_of(app, place)) is not None:
                metrics.lag(TopicPartition(*place), lag)
        if app.rebalancing or app.in_recovery or waits_for():
            owned.clear()
        stalls.look({TopicPartition(*place): app.consumer.committed(place) for place in owned})

    app.timer(interval=_TICK)(look)


def _lag_of(app: faust.App, place: TP) -> int | None:
    """Records of an owned partition that are not done, as far as is known; never too few."""
    end, done = app.consumer.highwater(place), app.consumer.committed(place)
    return None if end is None else max(0, end - (done or 0))


def _record_of(event: EventT) -> RawRecord:
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=None if message.key is None else message.key.decode("utf-8", "replace"),
        event=message.value,
        headers=dict(message.headers or ()),
        timestamp=datetime.fromtimestamp(message.timestamp, UTC) if message.timestamp else None,
    )
