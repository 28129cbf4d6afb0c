"""Builds a worker from settings, so that a service's `main` stays a list of parts."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from mesh import events
from mesh.clock import Clock, SystemClock
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterLimit, DeadLetterPolicy, DeadLetters
from mesh.errors import ConfigurationError
from mesh.health import Health
from mesh.identity import derived_id
from mesh.kafka.consumer import KafkaConsumer
from mesh.kafka.handler import Handler
from mesh.kafka.lane import Lane
from mesh.kafka.outbox import Outbox
from mesh.kafka.producer import KafkaProducer
from mesh.kafka.progress import Gap
from mesh.kafka.worker import StreamWorker, Surroundings, WorkerPolicy
from mesh.logs import package_version
from mesh.ports import Codec, Consumer, NoMetrics, Producer, WorkerMetrics
from mesh.scheduler import LaneSpec, RoundRobin, Scheduler
from mesh.settings import MeshSettings
from mesh.stage import Output, Stage
from mesh.topics import Topics


class Platform(Protocol):
    """Where a worker reads and publishes: `KafkaPlatform`, or an `InMemoryBroker` in tests."""

    def consumer(self, group: str) -> Consumer:
        """A new member of a group."""

    def producer(self) -> Producer:
        """A producer."""


@dataclass(frozen=True, slots=True)
class KafkaPlatform:
    """The broker that the settings name."""

    settings: MeshSettings

    def consumer(self, group: str) -> Consumer:
        """A new member of a group."""
        return KafkaConsumer(
            self.settings.kafka_bootstrap,
            group,
            instance_id=self.settings.instance_id,
            session_timeout=self.settings.session_timeout,
            answer_timeout=timedelta(seconds=self.settings.stop_seconds / 8),
        )

    def producer(self) -> Producer:
        """A producer that gives up on a broker in time for an orderly stop."""
        return KafkaProducer(
            self.settings.kafka_bootstrap,
            instance_id=self.settings.instance_id,
            delivery_timeout=flush_timeout(self.settings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a service may set beside the usual."""

    policy: WorkerPolicy = field(default_factory=WorkerPolicy)
    dead_letters: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)
    metrics: WorkerMetrics = field(default_factory=NoMetrics)
    scheduler: Scheduler | None = None
    """`RoundRobin` over the lanes unless set."""
    platform: Platform | None = None
    """The real broker unless set."""
    clock: Clock = field(default_factory=SystemClock)


def build_worker(  # noqa: PLR0913 -- the parts list of a composition root, keywords only
    settings: MeshSettings,
    *,
    stage: Stage[Any],
    group: str,
    lanes: Sequence[LaneSpec],
    topics: Topics,
    codec: Codec,
    health: Health,
    stop: threading.Event,
    options: WorkerOptions | None = None,
) -> StreamWorker:
    """A worker for this stage; `run` it in the main thread.

    Args:
        settings: Brokers, instance, session and stop times, key of the dead letters.
        stage: What to do with records.
        group: Name of the service; the consumer group is the topic prefix and this name, for
            several lanes followed by the lane's.
        lanes: What to read, the most urgent first.
        topics: Names of the dead-letter and event topics.
        codec: Bytes to events and back.
        health: Gets the checks `worker` (alive) and `partitions` (ready).
        stop: Set it to end the worker.
        options: What differs from the usual.

    Raises:
        ConfigurationError: There is no key for the dead letters, or no lane.
    """
    options = options or WorkerOptions()
    if not lanes:
        raise ConfigurationError(f"{group} has no lane to read")
    platform = options.platform or KafkaPlatform(settings)
    producer = platform.producer()
    outbox = Outbox(
        codec=codec,
        producer=producer,
        dead_letters=_dead_letters(settings, producer, topics=topics, service=group),
        metrics=options.metrics,
        flush_timeout=flush_timeout(settings),
    )
    worker = StreamWorker(
        lanes=[
            _lane(spec, platform.consumer(lane_group(settings, group, spec, lanes)), topics)
            for spec in lanes
        ],
        scheduler=options.scheduler or RoundRobin(lanes),
        codec=codec,
        handler=Handler(
            stage=stage,
            outbox=outbox,
            limit=DeadLetterLimit(options.dead_letters),
            metrics=options.metrics,
            clock=options.clock,
            attempts=options.policy.attempts,
        ),
        outbox=outbox,
        policy=options.policy,
        surroundings=Surroundings(
            stop=stop,
            heartbeat=health.heartbeat("worker", clock=options.clock),
            metrics=options.metrics,
            clock=options.clock,
            on_gap=gap_reporter(settings, topics, group, options.clock),
        ),
    )
    health.ready["partitions"] = worker.ready
    return worker


def _dead_letters(
    settings: MeshSettings, producer: Producer, *, topics: Topics, service: str
) -> DeadLetters:
    return DeadLetters(
        producer,
        Cipher(settings.secret_key),
        topic=topics("dead-letters"),
        service=service,
        version=package_version(service),
    )


def _lane(spec: LaneSpec, consumer: Consumer, topics: Topics) -> Lane:
    compacted = any(topics.spec(name).retention is None for name in spec.topics)
    return Lane(spec, consumer, compacted=compacted)


def flush_timeout(settings: MeshSettings) -> timedelta:
    """How long acknowledgements may take: half of what a stop may."""
    return timedelta(seconds=settings.stop_seconds / 2)


def lane_group(
    settings: MeshSettings, group: str, spec: LaneSpec, lanes: Sequence[LaneSpec]
) -> str:
    """The consumer group of a lane."""
    return settings.group(spec.group or (group if len(lanes) == 1 else f"{group}.{spec.name}"))


def gap_reporter(
    settings: MeshSettings, topics: Topics, service: str, clock: Clock
) -> Callable[[Gap], Sequence[Output]]:
    """Makes a log event of offsets that the broker no longer had."""

    def report(gap: Gap) -> Sequence[Output]:
        event = events.LogEvent(
            event_id=derived_id("evt", service, *gap.source, gap.first, gap.next),
            event_type="offset_gap",
            occurred_at=clock.now(),
            severity="warning",
            service=service,
            instance_id=settings.instance_id,
            message=(
                f"{gap.next - gap.first} records of {gap.source.topic}, partition "
                f"{gap.source.partition}, were deleted before they were read"
            ),
            attributes={
                "topic": gap.source.topic,
                "partition": str(gap.source.partition),
                "first_missing": str(gap.first),
                "next": str(gap.next),
            },
        )
        return [Output(topics("events"), f"{service}-{gap.source.partition}", event)]

    return report
