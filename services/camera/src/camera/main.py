"""Composition root of the camera service."""

import asyncio
from contextlib import closing
from datetime import timedelta
from functools import partial

from camera.adapters.dependencies import BrokerProbe, WatchedCodec
from camera.adapters.file_source import FileCameras
from camera.adapters.kafka_cameras import CameraGroup, CameraRegistry, GroupListener
from camera.adapters.kafka_discovery import DiscoveryDesk
from camera.adapters.kafka_publisher import KafkaPublisher, PublisherSettings
from camera.adapters.network import Network
from camera.adapters.onvif_finder import OnvifFinder, ProbeSettings
from camera.adapters.prometheus_metrics import CameraMetrics
from camera.adapters.rtsp_source import RtspCameras
from camera.adapters.running import OnLoop, Service
from camera.adapters.sources import Sources
from camera.adapters.usb_devices import UsbWatch
from camera.adapters.usb_finder import UsbFinder
from camera.adapters.usb_source import UsbCameras
from camera.domain.backoff import Backoff
from camera.settings import CameraSettings
from camera.stage import CameraSearch, CameraStage, StageParts, Turns
from mesh.clock import SystemClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.events import StreamType
from mesh.kafka import EventProducer, KafkaConsumer, KafkaProducer, KafkaTail
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
    producer, metrics = _producer(settings, codec), CameraMetrics(process.metrics.registry)
    publisher = KafkaPublisher(
        producer,
        PublisherSettings(
            topics=settings.topics,
            instance_id=settings.instance_id,
            ledger_seconds=settings.ledger_seconds,
            unreachable_seconds=settings.unreachable_seconds,
        ),
        SystemClock(),
        metrics=process.metrics,
        gauges=metrics,
    )
    network, probe = Network(settings.address_policy), BrokerProbe(producer.ask)
    stage = _stage(settings, publisher, metrics, network=network)
    on_loop = OnLoop(stage)
    registry = CameraRegistry(
        KafkaTail(settings, codec, topics=[settings.topics("cameras")]),
        changed=on_loop.changed,
        known=on_loop.registry_known,
    )
    group = _group(settings, process, on_loop)
    process.health.ready |= {
        "broker": lambda: publisher.check() or probe.check(),
        "registry": codec.check,
        "cameras": registry.check,
        "assignment": group.check,
    }
    service = Service(
        keeper=stage,
        registry=registry,
        group=group,
        publisher=publisher,
        probe=probe,
        status_seconds=settings.status_seconds,
        patience=timedelta(seconds=settings.stop_seconds * _FLUSH_SHARE),
        asides=[_desk(settings, codec), UsbWatch()],
    )
    with closing(schemas), closing(network):
        await service.run(process.stop)


def _producer(settings: CameraSettings, codec: WatchedCodec) -> EventProducer:
    """Without compression: nearly all bytes are those of JPEG, which it only costs time."""
    plain = KafkaProducer(
        settings.kafka_bootstrap,
        instance_id=settings.instance_id,
        config={"compression.type": "none"},
    )
    return EventProducer(settings, codec, producer=plain)


def _group(settings: CameraSettings, process: Process, on_loop: OnLoop) -> CameraGroup:
    return CameraGroup(
        KafkaConsumer(
            settings.kafka_bootstrap,
            settings.group("camera"),
            instance_id=settings.instance_id,
            session_timeout=settings.session_timeout,
        ),
        settings.topics("cameras"),
        GroupListener(assigned=on_loop.assigned, revoked=on_loop.revoked, lost=on_loop.lost),
        heartbeat=process.health.heartbeat("group"),
        clock=SystemClock(),
        session_timeout=settings.session_timeout,
    )


def _stage(
    settings: CameraSettings,
    publisher: KafkaPublisher,
    metrics: CameraMetrics,
    *,
    network: Network,
) -> CameraStage:
    parts = StageParts(
        sources=Sources(
            {
                StreamType.RTSP: RtspCameras(),
                StreamType.USB: UsbCameras(),
                StreamType.FILE: FileCameras(metrics),
                **network.makers,
            },
            decrypt=partial(_decrypted, settings),
            policy=settings.address_policy,
        ),
        frames=publisher,
        reports=publisher,
        gauges=metrics,
        clock=SystemClock(),
        policy=settings.policy(metrics),
        backoff=Backoff(maximum=timedelta(seconds=settings.retry_seconds)),
        turns=Turns(settings.limits),
        max_retries=settings.max_retries,
    )
    return CameraStage(
        parts,
        partition_of=partial(partition_of, partitions=settings.partitions),
        node=settings.node,
    )


def _desk(settings: CameraSettings, codec: WatchedCodec) -> DiscoveryDesk:
    clock, policy = SystemClock(), settings.address_policy
    probe = ProbeSettings(interfaces=settings.probe_interfaces)
    search = CameraSearch(
        {
            "onvif": OnvifFinder(policy, clock, probe=probe, node=settings.node),
            "usb": UsbFinder(settings.node, settings.instance_id),
        },
        decrypt=partial(_decrypted, settings),
        clock=clock,
        enabled=settings.discovery,
    )
    return DiscoveryDesk(
        KafkaTail(settings, codec, topics=[settings.topics("camera.commands")], start="end"),
        search,
        EventProducer(settings, codec),
        topic=settings.topics("answers"),
        clock=clock,
    )


def _decrypted(settings: CameraSettings, token: bytes) -> bytes:
    """What a token holds; asked late, as only cameras with a password need the key."""
    return Cipher(settings.secret_key).decrypt(token)
