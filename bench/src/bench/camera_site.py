"""One replica of the camera service on a real broker, and what a consumer sees of it."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import psutil  # type: ignore[import-untyped]  # ships no types
from prometheus_client.parser import text_string_to_metric_families

from bench.camera_seen import Frames, Seen
from bench.figures import say
from local.infrastructure import Infrastructure, Ports
from local.jars import provide
from local.layout import Layout, state_root
from local.network import free_ports
from local.services import is_ready
from local.supervisor import Supervisor
from mesh.codec import AvroCodec
from mesh.errors import TransientError
from mesh.events import (
    Camera,
    DetectionConfig,
    StreamConfig,
    StreamType,
)
from mesh.identity import new_id
from mesh.kafka import EventProducer, KafkaTail, create_topics
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.topics import CATALOGUE

_PARTITIONS = 4
_FRAME_BYTES = 64 << 20
_READY_SECONDS = 180.0
_STOP_SECONDS = 120.0
_SOON = 0.05


@dataclass(frozen=True, slots=True)
class Broker:
    """Where Kafka and the registry of schemas are."""

    kafka: str
    registry: str


@contextmanager
def a_broker() -> Iterator[Broker]:
    """Broker and registry of their own; ended and removed at the end."""
    cache = Layout.at(state_root(os.environ)).cache
    with TemporaryDirectory(prefix="sightline-bench-", ignore_cleanup_errors=True) as root:
        jars = provide(cache, report=say)
        parts = Infrastructure(Path(root) / "data", jars, Ports(*free_ports(5)))
        specs = [parts.kafka(), parts.registry()]
        with Supervisor(specs, log=Path(root) / "log", run=Path(root) / "run"):
            yield Broker(parts.bootstrap, parts.registry_url)


class CameraSite:
    """The service and its surroundings; made by `a_replica`.

    Args:
        settings: Broker, registry, prefix.
        codec: For records.
        process: The service.
        health: Its port for metrics.
        seen: What arrives of it.
    """

    def __init__(
        self,
        settings: MeshSettings,
        codec: AvroCodec,
        process: "subprocess.Popen[bytes]",
        health: int,
        seen: Seen,
    ) -> None:
        self.process = psutil.Process(process.pid)
        self.seen = seen
        self._settings = settings
        self._codec = codec
        self._popen = process
        self._address = f"http://127.0.0.1:{health}"

    def register(self, urls: Sequence[str], fps_limit: float) -> None:
        """Tells the service of cameras, all at once."""
        producer, now = EventProducer(self._settings, self._codec), datetime.now(UTC)
        for number, url in enumerate(urls):
            camera = Camera(
                camera_id=new_id("cam"),
                name=f"Camera {number}",
                stream=StreamConfig(stream_type=StreamType.RTSP, url=url, transport="tcp"),
                detection=DetectionConfig(fps_limit=fps_limit),
                created_at=now,
                updated_at=now,
                revision=0,
            )
            producer.send(Output(self._settings.topics("cameras"), camera.camera_id, camera))
        producer.flush()

    def seconds_until(self, true: Callable[[], bool], within: float) -> float | None:
        """How long something takes to become true; nothing if it takes longer.

        Raises:
            TransientError: The service has ended.
        """
        began = time.monotonic()
        while not true():
            if self._popen.poll() is not None:
                raise TransientError(f"the camera service ended with {self._popen.returncode}")
            if time.monotonic() - began > within:
                return None
            time.sleep(_SOON)
        return time.monotonic() - began

    def cpu_s(self) -> float:
        """Processor seconds of the service."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Its resident memory, megabytes."""
        return float(self.process.memory_info().rss) / 1e6

    def frames(self) -> Frames:
        """What became of the frames until now."""
        text = httpx2.get(f"{self._address}/metrics", timeout=60, trust_env=False).text
        values: defaultdict[str, float] = defaultdict(float)
        dropped: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("sightline_camera_frames_")
                values[name] += sample.value
                if name == "dropped_total":
                    dropped[sample.labels["reason"]] += int(sample.value)
        return Frames(
            decoded=int(values["captured_total"]),
            skipped=int(values["skipped_total"]),
            published=self.seen.published,
            dropped=dropped,
        )

    def stop(self) -> None:
        """Asks the service to end, and waits until it has and all of its books have arrived."""
        self._popen.send_signal(signal.SIGTERM)
        self._popen.wait(_STOP_SECONDS)
        end = time.monotonic() + _STOP_SECONDS
        while not self._settled() and time.monotonic() < end:
            time.sleep(_SOON)

    def _settled(self) -> bool:
        """Whether the ledger's last entries are here, and every frame that they tell of."""
        books = self.seen.books
        return not books.open_epochs() and not books.balance()["unaccounted"]


@contextmanager
def a_replica(broker: Broker, log: Path) -> Iterator[CameraSite]:
    """A camera service with topics of its own, ready; ended at the end, whatever happens."""
    settings = MeshSettings(
        kafka_bootstrap=broker.kafka,
        registry_url=broker.registry,
        topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.",
        partitions=_PARTITIONS,
        instance_id="bench",
    )
    library, schemas = SchemaLibrary.packaged(), ConfluentRegistry(broker.registry)
    create_topics(settings, frame_bytes=_FRAME_BYTES)
    for spec in CATALOGUE:
        if spec.records:
            subject = f"{settings.topics(spec.name)}-value"
            schemas.register(subject, library.value_schema(spec), compatibility(spec))
    codec, [health] = AvroCodec(schemas, settings.topics, library), free_ports(1)
    seen = Seen()
    with _following(settings, codec, seen), _service(settings, health, log) as process:
        site = CameraSite(settings, codec, process, health, seen)
        if site.seconds_until(lambda: is_ready(health), _READY_SECONDS) is None:
            raise TransientError(f"the camera service was not ready in {_READY_SECONDS:g} s")
        yield site
    schemas.close()


@contextmanager
def _following(settings: MeshSettings, codec: AvroCodec, seen: Seen) -> Iterator[None]:
    topics = [settings.topics(name) for name in ("frames.live", "camera-status", "ledger")]
    tail, stop = KafkaTail(settings, codec, topics=topics), threading.Event()
    thread = threading.Thread(target=tail.run, args=(seen.take, stop), name="consumer")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _service(settings: MeshSettings, health: int, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {
        "SIGHTLINE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "SIGHTLINE_REGISTRY_URL": settings.registry_url,
        "SIGHTLINE_TOPIC_PREFIX": settings.topic_prefix,
        "SIGHTLINE_PARTITIONS": str(settings.partitions),
        "SIGHTLINE_INSTANCE_ID": "camera",
        "SIGHTLINE_LOG_LEVEL": "WARNING",
        "SIGHTLINE_HEALTH_PORT": str(health),
        "OPENBLAS_NUM_THREADS": "1",
    }
    with log.open("ab") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "camera"], env=environment, stdout=lines, stderr=lines
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
