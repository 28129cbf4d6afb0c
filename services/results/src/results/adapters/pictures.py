"""The last pictures of the cameras that somebody watches, read from the frame topics on demand."""

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from confluent_kafka import OFFSET_END, Consumer, Message
from confluent_kafka import TopicPartition as VendorPartition

from mesh.claims import ClaimChecks, ClaimError
from mesh.errors import RejectedRecordError, TransientError
from mesh.events import FrameCaptured, Lane
from mesh.kafka.client_log import client_log
from mesh.kafka.stranded import KnownBrokers, abandon
from mesh.kafka.vendor import record_of, translated
from mesh.partitioning import partition_of
from mesh.ports import Codec
from mesh.record import TopicPartition
from mesh.settings import MeshSettings

UNWATCHED_SECONDS = 30.0
"""A camera that nobody asked for since is read no longer."""
_KEPT = 64
_KEPT_BYTES = 64 * 1024 * 1024
_ASK_AGAIN_SECONDS = 0.04
_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FramePicture:
    """One picture as it travels."""

    frame_key: str
    camera_id: str
    data: bytes
    image_format: str
    width: int
    height: int


class LivePictures:
    """A short memory of pictures per watched camera; safe for threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._watched: dict[str, float] = {}
        self._kept: dict[str, deque[FramePicture]] = {}

    def watch(self, camera_ids: Iterable[str]) -> None:
        """Somebody wants to see these cameras now."""
        now = self._monotonic()
        with self._lock:
            self._watched |= dict.fromkeys(camera_ids, now)

    def watched(self) -> set[str]:
        """Cameras that somebody asked for lately; the pictures of all others are forgotten."""
        oldest = self._monotonic() - UNWATCHED_SECONDS
        with self._lock:
            for camera_id in [key for key, at in self._watched.items() if at < oldest]:
                del self._watched[camera_id]
                self._kept.pop(camera_id, None)
            return set(self._watched)

    def add(self, frame: FrameCaptured) -> None:
        """Keep a frame's picture, if its camera is watched."""
        header = frame.frame
        if frame.image is None:
            return
        picture = FramePicture(
            frame_key=header.frame_key,
            camera_id=header.camera_id,
            data=frame.image,
            image_format=frame.image_format,
            width=header.width,
            height=header.height,
        )
        with self._lock:
            if header.camera_id in self._watched:
                kept = self._kept.setdefault(header.camera_id, deque(maxlen=_KEPT))
                kept.append(picture)
                while sum(len(each.data) for each in kept) > _KEPT_BYTES:
                    kept.popleft()

    def picture(self, camera_id: str, frame_key: str | None = None) -> FramePicture | None:
        """A kept picture of a camera, the newest unless a frame is named."""
        with self._lock:
            kept = self._kept.get(camera_id, ())
            if frame_key is None:
                return kept[-1] if kept else None
            return next((each for each in reversed(kept) if each.frame_key == frame_key), None)

    async def wait(
        self, camera_id: str, frame_key: str | None, seconds: float
    ) -> FramePicture | None:
        """Watch a camera, and wait a moment for the picture."""
        self.watch([camera_id])
        give_up = self._monotonic() + seconds
        while True:
            found = self.picture(camera_id, frame_key)
            if found is not None or self._monotonic() >= give_up:
                return found
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


class FrameTail:
    """Reads those partitions of the frame topics that hold watched cameras, from now on."""

    def __init__(
        self, settings: MeshSettings, codec: Codec, pictures: LivePictures, claims: ClaimChecks
    ) -> None:
        self._claims = claims
        self._settings = settings
        self._codec = codec
        self._pictures = pictures
        self._topics = [settings.topics.lane(lane) for lane in Lane]
        self._counts: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow what is watched until `stop` is set; the broker may be away at any time."""
        while not stop.is_set():
            known = KnownBrokers()
            consumer = self._consumer(known)
            try:
                self._read(consumer, known, stop)
            finally:
                if known.none_left:
                    abandon(consumer.close)
                else:
                    consumer.close()

    def _consumer(self, known: KnownBrokers) -> Consumer:
        return Consumer(
            {
                **known.settings,
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "client.id": f"{self._settings.instance_id}-pictures",
                "group.id": f"pictures-{uuid.uuid4()}",  # required by the client, never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 32_768,
            },
            logger=client_log(),
        )

    def _read(self, consumer: Consumer, known: KnownBrokers, stop: threading.Event) -> None:
        """Until `stop` is set or the client knows no broker any more."""
        while not (stop.is_set() or known.none_left):
            try:
                self._turn(consumer)
            except TransientError as error:
                _log.warning("live pictures are not read: %s", error)
                consumer.poll(1.0)  # it has to be polled to tell what it knows

    def _turn(self, consumer: Consumer) -> None:
        watched = self._pictures.watched()
        self._follow(consumer, self._partitions(consumer, watched) if watched else set())
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            return
        for each in (message, *consumer.consume(32, 0)):
            self._take(each, watched)

    def _follow(self, consumer: Consumer, wanted: set[TopicPartition]) -> None:
        with translated("following live pictures"):
            present = {TopicPartition(p.topic, p.partition) for p in consumer.assignment()}
            if gone := present - wanted:
                consumer.incremental_unassign([VendorPartition(t, p) for t, p in gone])
            if new := wanted - present:
                consumer.incremental_assign([VendorPartition(t, p, OFFSET_END) for t, p in new])

    def _partitions(self, consumer: Consumer, cameras: Collection[str]) -> set[TopicPartition]:
        return {
            TopicPartition(topic, partition_of(camera_id, self._count(consumer, topic)))
            for topic in self._topics
            for camera_id in cameras
        }

    def _count(self, consumer: Consumer, topic: str) -> int:
        if topic not in self._counts:
            with translated(f"looking {topic} up"):
                found = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
            if not found.partitions:
                raise TransientError(f"topic {topic} is not there")
            self._counts[topic] = len(found.partitions)
        return self._counts[topic]

    def _take(self, message: Message, watched: Collection[str]) -> None:
        if message.error() is not None:
            return
        raw = record_of(message)
        # Neighbours in the partition are skipped before they cost a decode.
        if raw.event is None or raw.key not in watched:
            return
        try:
            event = self._codec.decode(raw.topic, raw.event)
        except RejectedRecordError:
            return
        self._pictures.add(self._whole(event))

    def _whole(self, event: FrameCaptured) -> FrameCaptured:
        """The frame with its picture, if that lies in the store and can be had at once."""
        if event.image_ref is None:
            return event
        try:
            return replace(event, image=self._claims.load(event.image_ref))
        except (ClaimError, TransientError) as error:
            _log.warning("a large live picture is not shown: %s", error)
            return event
