"""The adapters of the service, put together from its settings."""

from collections.abc import Callable, Mapping

from camera.adapters.checked_urls import CheckedUrls
from camera.adapters.dependencies import WatchedCodec
from camera.adapters.file_source import FileCameras
from camera.adapters.kafka_cameras import CameraGroup, CameraRegistry, GroupListener
from camera.adapters.kafka_publisher import KafkaPublisher, PublisherSettings
from camera.adapters.network import Network
from camera.adapters.onvif_finder import OnvifFinder, ProbeSettings
from camera.adapters.prometheus_metrics import CameraMetrics
from camera.adapters.rtsp_cameras import RtspCameras
from camera.adapters.running import OnLoop
from camera.adapters.sources import Sources
from camera.adapters.usb_finder import UsbFinder
from camera.adapters.usb_source import UsbCameras
from camera.ports import CameraFinder, ConnectionTurns
from camera.settings import CameraSettings
from mesh.clock import SystemClock
from mesh.crypto import Cipher
from mesh.events import StreamType
from mesh.kafka import EventProducer, KafkaConsumer, KafkaProducer, KafkaTail
from mesh.ports import Heartbeat, WorkerMetrics

Decrypt = Callable[[bytes], bytes]


def build_producer(settings: CameraSettings, codec: WatchedCodec) -> EventProducer:
    """Without compression: nearly all bytes are those of JPEG, which it only costs time."""
    plain = KafkaProducer(
        settings.kafka_bootstrap,
        instance_id=settings.instance_id,
        config={"compression.type": "none"},
    )
    return EventProducer(settings, codec, producer=plain)


def build_publisher(
    settings: CameraSettings,
    producer: EventProducer,
    *,
    metrics: WorkerMetrics,
    gauges: CameraMetrics,
) -> KafkaPublisher:
    """What brings frames, ledger, statuses and events to Kafka."""
    wanted = PublisherSettings(
        topics=settings.topics,
        instance_id=settings.instance_id,
        ledger_seconds=settings.ledger_seconds,
        unreachable_seconds=settings.unreachable_seconds,
    )
    return KafkaPublisher(producer, wanted, SystemClock(), metrics=metrics, gauges=gauges)


def build_registry(
    settings: CameraSettings, codec: WatchedCodec, on_loop: OnLoop
) -> CameraRegistry:
    """What follows all of `cameras`."""
    return CameraRegistry(
        KafkaTail(settings, codec, topics=[settings.topics("cameras")]),
        changed=on_loop.changed,
        known=on_loop.registry_known,
    )


def build_group(settings: CameraSettings, on_loop: OnLoop, heartbeat: Heartbeat) -> CameraGroup:
    """Membership in the group that shares the cameras out."""
    consumer = KafkaConsumer(
        settings.kafka_bootstrap,
        settings.group("camera"),
        instance_id=settings.instance_id,
        session_timeout=settings.session_timeout,
    )
    return CameraGroup(
        consumer,
        settings.topics("cameras"),
        GroupListener(assigned=on_loop.assigned, revoked=on_loop.revoked, lost=on_loop.lost),
        heartbeat=heartbeat,
        clock=SystemClock(),
        session_timeout=settings.session_timeout,
    )


def build_sources(settings: CameraSettings, network: Network, turns: ConnectionTurns) -> Sources:
    """Every kind of stream."""
    return Sources(
        {
            StreamType.RTSP: RtspCameras(
                urls=CheckedUrls(settings.address_policy), backoff=settings.backoff, turns=turns
            ),
            StreamType.USB: UsbCameras(),
            StreamType.FILE: FileCameras(),
            **network.makers,
        },
        decrypt=build_decrypt(settings),
        policy=settings.address_policy,
    )


def build_finders(settings: CameraSettings) -> Mapping[str, CameraFinder]:
    """Every kind of device that nobody registered."""
    probe = ProbeSettings(interfaces=settings.probe_interfaces)
    policy = settings.address_policy
    return {
        "onvif": OnvifFinder(policy, SystemClock(), probe=probe, node=settings.node),
        "usb": UsbFinder(settings.node, settings.instance_id),
    }


def build_decrypt(settings: CameraSettings) -> Decrypt:
    """What opens a token; the key is asked for late, as only cameras with a password need it."""
    return lambda token: Cipher(settings.secret_key).decrypt(token)
