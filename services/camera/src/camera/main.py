"""Composition root of the camera service."""

import asyncio
from contextlib import closing
from datetime import timedelta
from functools import partial

from camera.adapters.assembly import (
    build_decrypt,
    build_finders,
    build_group,
    build_producer,
    build_publisher,
    build_registry,
    build_sources,
)
from camera.adapters.dependencies import BrokerProbe, WatchedCodec
from camera.adapters.kafka_discovery import DiscoveryDesk
from camera.adapters.large_pictures import StoredPictures
from camera.adapters.network import Network
from camera.adapters.passwords import Passwords
from camera.adapters.prometheus_metrics import CameraMetrics
from camera.adapters.running import OnLoop, Service
from camera.adapters.usb_devices import UsbWatch
from camera.settings import CameraSettings
from camera.stage import CameraSearch, CameraStage, StageParts, ThreadTurns, Turns
from mesh.claims import ClaimChecks
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.dependencies import Dependencies
from mesh.kafka import EventProducer, KafkaTail
from mesh.partitioning import partition_of
from mesh.process import Process, run_service
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary

_FLUSH_SHARE = 0.6  # of the time to stop, for publishing what is left


def main() -> None:
    """Runs the service until SIGTERM."""
    run_service("camera", CameraSettings, lambda *given: asyncio.run(_serve(*given)))


async def _serve(settings: CameraSettings, process: Process) -> None:
    schemas = ConfluentRegistry(settings.registry_url)
    codec = WatchedCodec(AvroCodec(schemas, settings.topics, SchemaLibrary.packaged()))
    producer, metrics = build_producer(settings, codec), CameraMetrics(process.metrics.registry)
    publisher = build_publisher(settings, producer, metrics=process.metrics, gauges=metrics)
    network, probe = Network(settings.address_policy), BrokerProbe(producer.ask)
    claims = ClaimChecks(settings.objects_url)
    store_watch = Dependencies({"object_store": claims.check})
    turns = Turns(settings.limits)
    parts = StageParts(
        sources=build_sources(settings, network, ThreadTurns(turns)),
        frames=publisher,
        reports=publisher,
        gauges=metrics,
        clock=SystemClock(),
        policy=settings.policy(metrics),
        backoff=settings.backoff,
        turns=turns,
        same_password=Passwords(build_decrypt(settings)).same,
        large=StoredPictures(claims, SystemClock()),
        max_retries=settings.max_retries,
    )
    places = partial(partition_of, partitions=settings.partitions)
    stage = CameraStage(parts, partition_of=places, node=settings.node)
    on_loop = OnLoop(stage)
    registry = build_registry(settings, codec, on_loop)
    group = build_group(settings, on_loop, process.health.heartbeat("group"))
    process.health.ready |= {
        "broker": lambda: publisher.check() or probe.check(),
        "registry": codec.check,
        "cameras": registry.check,
        "assignment": group.check,
    }
    process.health.partial |= store_watch.checks
    service = Service(
        keeper=stage,
        registry=registry,
        group=group,
        publisher=publisher,
        probe=probe,
        status_seconds=settings.status_seconds,
        patience=timedelta(seconds=settings.stop_seconds * _FLUSH_SHARE),
        asides=[_desk(settings, codec), UsbWatch(), store_watch],
    )
    with closing(schemas), closing(network):
        await service.run(process.stop)


def _desk(settings: CameraSettings, codec: WatchedCodec) -> DiscoveryDesk:
    search = CameraSearch(
        build_finders(settings),
        decrypt=build_decrypt(settings),
        clock=SystemClock(),
        enabled=settings.discovery,
    )
    return DiscoveryDesk(
        KafkaTail(settings, codec, topics=[settings.topics("camera.commands")], start="end"),
        search,
        EventProducer(settings, codec),
        topic=settings.topics("answers"),
        clock=SystemClock(),
    )
