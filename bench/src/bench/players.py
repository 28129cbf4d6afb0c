"""Cameras that the benchmark plays: pre-captured pictures, published as the camera service would.

They put a load of any size on the mesh without the cost of decoding as many videos beside it.
"""

import heapq
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from bench.site import Site, now
from mesh.events import (
    DetectionConfig,
    FrameCaptured,
    FrameHeader,
    Lane,
    LedgerEntry,
    Overload,
    Priority,
    Purpose,
    SequenceRange,
    StageTime,
    StreamType,
    TimestampSource,
)
from mesh.identity import frame_key, new_epoch
from mesh.partitioning import partition_of
from mesh.stage import Output

_INSTANCE = "bench"
_APART = 37
"""Pictures between what two cameras show."""


@dataclass
class Player:
    """One played camera, one epoch."""

    camera_id: str
    lane: Lane
    fps: float = 5.0
    epoch: int = field(default_factory=lambda: new_epoch(now()))
    published: int = 0
    keys: set[str] = field(default_factory=set)

    def frame(self, picture: bytes) -> FrameCaptured:
        """The next frame, received now."""
        at = now()
        key = frame_key(self.camera_id, self.epoch, self.published)
        header = FrameHeader(
            frame_key=key,
            camera_id=self.camera_id,
            camera_name=f"Played {self.camera_id[4:8]}",
            epoch=self.epoch,
            sequence_number=self.published,
            lane=self.lane,
            priority=Priority.NORMAL,
            purpose=Purpose.SURVEILLANCE,
            stream_type=StreamType.FILE,
            camera_timestamp=at,
            timestamp_source=TimestampSource.ARRIVAL,
            received_timestamp=at,
            width=640,
            height=360,
        )
        everything = self.lane is Lane.EVIDENCE
        self.published += 1
        self.keys.add(key)
        return FrameCaptured(
            frame=header,
            image=picture,
            detection=DetectionConfig(
                fps_limit=self.fps, overload=Overload.ALL if everything else Overload.LATEST
            ),
            stages=(StageTime(stage="camera", instance_id=_INSTANCE, started_at=at, ended_at=at),),
        )

    def last_entry(self) -> LedgerEntry:
        """What a camera says of its frames when its epoch ends."""
        return LedgerEntry(
            camera_id=self.camera_id,
            epoch=self.epoch,
            lane=self.lane,
            outcome="captured",
            ranges=(SequenceRange(first=0, last=self.published - 1),),
            closes_epoch=True,
            service="camera",
            instance_id=_INSTANCE,
            reported_at=now(),
        )


def players(count: int, lane: Lane, partitions: int) -> list[Player]:
    """So many cameras, spread evenly over the partitions."""
    found: list[Player] = []
    while len(found) < count:
        camera_id = f"cam_{uuid4()}"
        if partition_of(camera_id, partitions) == len(found) % partitions:
            found.append(Player(camera_id, lane))
    return found


def publish_all(site: Site, cast: Sequence[Player], pictures: Sequence[bytes], frames: int) -> None:
    """Publish so many frames at once, the cameras taking turns."""
    for index in range(frames):
        turn, place = divmod(index, len(cast))
        publish(site, cast[place], pictures[(turn + _APART * place) % len(pictures)])
    site.producer.flush()


def close_all(site: Site, cast: Sequence[Player]) -> None:
    """End the epochs of these cameras."""
    for player in cast:
        if player.published:
            site.producer.send(Output(site.topics("ledger"), player.camera_id, player.last_entry()))
    site.producer.flush()


def publish(site: Site, player: Player, picture: bytes) -> None:
    """Queue the next frame of a camera."""
    event = player.frame(picture)
    site.producer.send(Output(site.topics.lane(player.lane), player.camera_id, event))


@contextmanager
def playing(site: Site, cast: Sequence[Player], pictures: Sequence[bytes]) -> Iterator[None]:
    """Every camera shows its pictures at its own rate, in a thread, until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=_play, args=(site, cast, pictures, stop), name="players")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        site.producer.flush()


def _play(
    site: Site, cast: Sequence[Player], pictures: Sequence[bytes], stop: threading.Event
) -> None:
    began = time.monotonic()
    # Cameras do not tick together: each begins elsewhere within its own interval.
    due = [(began + place / len(cast) / player.fps, place) for place, player in enumerate(cast)]
    heapq.heapify(due)
    while not stop.wait(max(0.0, due[0][0] - time.monotonic())):
        at, place = due[0]
        player = cast[place]
        publish(site, player, pictures[(player.published + _APART * place) % len(pictures)])
        heapq.heapreplace(due, (at + 1.0 / player.fps, place))
        site.producer.poll()
