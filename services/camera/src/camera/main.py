"""Composition root of the camera service."""

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial

from camera.adapters.kafka_cameras import CameraGroup, CameraRegistry
from camera.adapters.kafka_publisher import KafkaPublisher, PublisherSettings
from camera.adapters.pyav_source import PyAvSources
from camera.adapters.running import OnLoop, Service
from camera.domain.backoff import Backoff
from camera.domain.capture import CapturePolicy
from camera.domain.ring import RingLimits
from camera.settings import CameraSettings
from camera.stage import CameraStage, StageParts
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.kafka import EventProducer, KafkaConsumer, KafkaTail
from mesh.partitioning import partition_of
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary

_FLUSH_SHARE = 0.6
"""Share of the time to stop that may be spent on publishing what is left."""


def main() -> None:
    """Runs the service until SIGTERM."""
    run_service("camera", CameraSettings, lambda *given: asyncio.run(_serve(*given)))


async def _serve(settings: CameraSettings, process: Process) -> None:
    schemas = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(schemas, settings.topics, SchemaLibrary.packaged())
    publisher = _publisher(settings, process, codec)
    stage = _stage(settings, publisher)
    cameras, on_loop = settings.topics("cameras"), OnLoop(stage)
    registry = CameraRegistry(
        KafkaTail(settings, codec, topics=[cameras]),
        changed=on_loop.changed,
        known=on_loop.registry_known,
    )
    group = CameraGroup(
        KafkaConsumer(
            settings.kafka_bootstrap,
            settings.group("camera"),
            instance_id=settings.instance_id,
            session_timeout=settings.session_timeout,
        ),
        cameras,
        assigned=on_loop.assigned,
        revoked=on_loop.revoked,
        heartbeat=process.health.heartbeat("group"),
    )
    process.health.ready |= {
        "registry": registry.check,
        "assignment": group.check,
        "broker": publisher.check,
    }
    service = Service(
        keeper=stage,
        registry=registry,
        group=group,
        publisher=publisher,
        status_seconds=settings.status_seconds,
        patience=timedelta(seconds=settings.stop_seconds * _FLUSH_SHARE),
    )
    with closing(schemas):
        await service.run(process.stop)


def _publisher(settings: CameraSettings, process: Process, codec: AvroCodec) -> KafkaPublisher:
    return KafkaPublisher(
        EventProducer(settings, codec),
        PublisherSettings(
            topics=settings.topics,
            instance_id=settings.instance_id,
            ledger_seconds=settings.ledger_seconds,
        ),
        SystemClock(),
        process.metrics,
    )


def _stage(settings: CameraSettings, publisher: KafkaPublisher) -> CameraStage:
    policy = CapturePolicy(instance_id=settings.instance_id)
    spool = RingLimits(
        frames=settings.spool_frames, size=settings.spool_mb << 20, reason=policy.evidence.reason
    )
    live = RingLimits(frames=settings.ring_frames)
    parts = StageParts(
        sources=PyAvSources(lambda token: Cipher(settings.secret_key).decrypt(token)),
        frames=publisher,
        reports=publisher,
        clock=SystemClock(),
        policy=replace(policy, live=live, evidence=spool),
        backoff=Backoff(maximum=timedelta(seconds=settings.retry_seconds)),
    )
    return CameraStage(
        parts,
        partition_of=partial(partition_of, partitions=settings.partitions),
        node=settings.node,
    )
