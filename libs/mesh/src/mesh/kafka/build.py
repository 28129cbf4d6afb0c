"""Builds a worker from settings, so that a service's `main` stays a list of parts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mesh.clock import Clock, SystemClock
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterLimit, DeadLetterPolicy, DeadLetters
from mesh.errors import ConfigurationError
from mesh.health import Health
from mesh.kafka.gaps import gap_reporter
from mesh.kafka.handler import Handler
from mesh.kafka.lane import Lane
from mesh.kafka.outbox import Outbox
from mesh.kafka.platform import KafkaPlatform, Platform, flush_timeout
from mesh.kafka.standstill import Standstill
from mesh.kafka.worker import StreamWorker, Surroundings, WorkerPolicy
from mesh.logs import package_version
from mesh.ports import Codec, Heartbeat, NoMetrics, Producer, WorkerMetrics
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import LaneSpec, Scheduler
from mesh.settings import MeshSettings
from mesh.stage import Stage
from mesh.watchdog import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a service may set beside the usual."""

    policy: WorkerPolicy = field(default_factory=WorkerPolicy)
    dead_letters: DeadLetterPolicy = field(default_factory=DeadLetterPolicy)
    metrics: WorkerMetrics = field(default_factory=NoMetrics)
    scheduler: Scheduler | None = None
    """`DeficitRoundRobin` over the lanes unless set."""
    platform: Platform | None = None
    """The real broker unless set."""
    clock: Clock = field(default_factory=SystemClock)


def build_worker(
    settings: MeshSettings,
    *,
    stage: Stage[Any],
    group: str,
    lanes: Sequence[LaneSpec],
    codec: Codec,
    health: Health,
    stop: threading.Event,
    options: WorkerOptions | None = None,
) -> StreamWorker:
    """A worker for this stage; `run` it in the main thread.

    Args:
        settings: Brokers, topic names, instance, session and stop times, key of the dead letters.
        stage: What to do with records.
        group: Name of the service; the consumer group is the topic prefix and this name, for
            several lanes followed by the lane's.
        lanes: What to read, the most urgent first.
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
    outbox = _outbox(settings, platform.producer(), group, codec=codec, metrics=options.metrics)
    watchdog = Watchdog(options.policy.batch_timeout)
    worker = StreamWorker(
        lanes=_lanes(settings, group, lanes, platform),
        scheduler=options.scheduler or DeficitRoundRobin(lanes),
        codec=codec,
        handler=Handler(
            stage=stage,
            outbox=outbox,
            limit=DeadLetterLimit(options.dead_letters),
            metrics=options.metrics,
            clock=options.clock,
            attempts=options.policy.attempts,
            watchdog=watchdog,
        ),
        outbox=outbox,
        standstill=_standstill(platform, lanes, options),
        policy=options.policy,
        surroundings=Surroundings(
            stop=stop,
            heartbeat=_heartbeat(health, options),
            watchdog=watchdog,
            metrics=options.metrics,
            clock=options.clock,
            on_gap=gap_reporter(settings, group, options.clock),
        ),
    )
    health.ready["partitions"] = worker.ready
    return worker


def _outbox(
    settings: MeshSettings,
    producer: Producer,
    service: str,
    *,
    codec: Codec,
    metrics: WorkerMetrics,
) -> Outbox:
    letters = DeadLetters(
        producer,
        Cipher(settings.secret_key),
        topic=settings.topics("dead-letters"),
        service=service,
        version=package_version(service),
    )
    return Outbox(
        codec=codec,
        producer=producer,
        dead_letters=letters,
        metrics=metrics,
        flush_timeout=flush_timeout(settings),
    )


def _standstill(
    platform: Platform, lanes: Sequence[LaneSpec], options: WorkerOptions
) -> Standstill:
    bounds = platform.bounds([topic for lane in lanes for topic in lane.topics])
    return Standstill(bounds, options.clock, options.policy.join_timeout)


def _heartbeat(health: Health, options: WorkerOptions) -> Heartbeat:
    """Liveness fails no later than the watchdog."""
    limit = options.policy.batch_timeout or timedelta(minutes=1)
    return health.heartbeat("worker", limit.total_seconds(), clock=options.clock)


def _lanes(
    settings: MeshSettings, service: str, specs: Sequence[LaneSpec], platform: Platform
) -> list[Lane]:
    """A consumer per lane, in a group of the lane's own if there are several."""
    lanes = []
    for spec in specs:
        name = spec.group or (service if len(specs) == 1 else f"{service}.{spec.name}")
        group = settings.group(name)
        compacted = any(settings.topics.spec(topic).retention is None for topic in spec.topics)
        lanes.append(Lane(spec, platform.consumer(group), group=group, compacted=compacted))
    return lanes
