"""The workers of one process: frames behind the gallery's gate, and commands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from inference.placing import Placing
from inference.pool import PooledStage, watch_device
from mesh.codec import AvroCodec
from mesh.events import FrameDetected
from mesh.health import Health
from mesh.kafka import StreamWorker, WorkerOptions, WorkerPolicy, build_worker
from mesh.process import Process
from mesh.retry import RetryPolicy
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import LaneSpec, Scheduler
from mesh.stage import Stage
from recognition.settings import RecognitionSettings

NAME = "recognition"
_PREFETCH = 128
"""Records that wait in memory while the gallery is away; only those can age."""
_PATIENT = RetryPolicy(maximum=timedelta(seconds=2), attempts=None)
"""Database, broker and registry are waited for, however long."""


def ungated(scheduler: Scheduler) -> Scheduler:
    """Whatever is away, everything comes in its turn."""
    return scheduler


class Place(NamedTuple):
    """Where a stage computes."""

    placing: Placing
    device: Callable[[], str]
    """What would serve now."""


class Work(NamedTuple):
    """A stage, what it reads, what lets records wait, and where it computes."""

    stage: Stage[Any]
    topic: str
    gated: Callable[[Scheduler], Scheduler] = ungated
    place: Place | None = None
    """None: its batches are neither placed nor counted for a device."""


def chips_of(event: FrameDetected) -> int:
    """How many faces of a frame can be embedded."""
    return sum(face.chip is not None for face in event.faces)


def create_worker(
    settings: RecognitionSettings, process: Process, codec: AvroCodec, work: Work
) -> StreamWorker:
    """A worker with a group of its own over one topic; its checks are named for the topic."""
    health, topic = Health(), work.topic
    lane = LaneSpec(
        name=topic,
        topics=(settings.topics(topic),),
        group=f"{NAME}.{topic}",
        prefetch=_PREFETCH,
    )
    stage = work.stage
    if work.place is not None:
        pool = watch_device(*work.place, items=chips_of)
        stage = PooledStage(stage, pool)
    worker = build_worker(
        settings,
        stage=stage,
        group=NAME,
        lanes=[lane],
        codec=codec,
        health=health,
        stop=process.stop,
        options=WorkerOptions(
            policy=WorkerPolicy(
                batch_size=settings.recognition_batch,
                batch_timeout=settings.batch_timeout,
                retry=_PATIENT,
            ),
            metrics=process.metrics,
            scheduler=work.gated(DeficitRoundRobin([lane])),
        ),
    )
    process.health.live |= {f"{name} of {topic}": check for name, check in health.live.items()}
    process.health.ready |= {f"{name} of {topic}": check for name, check in health.ready.items()}
    return worker
