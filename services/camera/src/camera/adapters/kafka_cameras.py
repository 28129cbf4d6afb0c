"""The registry of cameras, and which of them are this replica's, from the topic `cameras`.

Two readers of one topic: one follows all of it without a group, to know every camera; the other is
a member of the group whose assignment says which cameras this replica owns, and reads nothing.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mesh.clock import Clock
from mesh.events import Camera
from mesh.ports import Consumer, Heartbeat
from mesh.record import Record, TopicPartition

POLL = timedelta(milliseconds=500)
"""What the group says waits so long at most."""


class Following(Protocol):
    """The part of `mesh.kafka.KafkaTail` that is needed here."""

    caught_up: threading.Event

    def run(self, handle: Callable[[Record[Camera]], None], stop: threading.Event) -> None:
        """Hands over every record until `stop` is set; blocks."""


class CameraRegistry:
    """Hands every change of the registry on, and says when all that was there is known.

    Args:
        tail: Follows `cameras` from its beginning.
        changed: Takes a camera's id and the camera, or nothing if it was deleted.
        known: Called once, after everything that was there at the start.
    """

    def __init__(
        self,
        tail: Following,
        *,
        changed: Callable[[str, Camera | None], None],
        known: Callable[[], None],
    ) -> None:
        self._tail = tail
        self._changed = changed
        self._known = known

    def run(self, stop: threading.Event) -> None:
        """Follows until `stop` is set; blocks."""
        over = threading.Event()
        watcher = threading.Thread(
            target=self._watch, args=(over,), name="camera-registry-watch", daemon=True
        )
        watcher.start()
        try:
            self._tail.run(self._take, stop)
        finally:
            over.set()
            watcher.join()

    def check(self) -> str | None:
        """What is missing: the registry is not read yet."""
        return None if self._tail.caught_up.is_set() else "the registry of cameras is not read yet"

    def _take(self, record: Record[Camera]) -> None:
        if record.key is not None:
            self._changed(record.key, record.event)

    def _watch(self, over: threading.Event) -> None:
        """Waits for the tail to catch up; its records were all handed on before."""
        while not over.is_set():
            if self._tail.caught_up.wait(0.1):
                self._known()
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupListener:
    """Hears whose partitions of `cameras` are; called in the thread of `CameraGroup`.

    Args:
        assigned: Takes the partitions that came.
        revoked: Takes those that went; their streams must have ended when it returns.
        lost: Takes those that nobody can tell the owner of, as the group fell silent; likewise.
    """

    assigned: Callable[[Collection[int]], None]
    revoked: Callable[[Collection[int]], None]
    lost: Callable[[Collection[int]], None]


class CameraGroup:
    """Membership in the group that shares the cameras out; its records are not looked at.

    A process that was suspended for longer than the session time-out has lost its partitions,
    whatever the client knows by then: it lets go of them as soon as it runs again.

    Args:
        consumer: A member of the group that has not subscribed yet.
        topic: Full name of `cameras`.
        listener: Hears of every change.
        heartbeat: Shows that the membership is alive.
        clock: Tells the time.
        session_timeout: After which the group gives a silent member's partitions to others.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        listener: GroupListener,
        *,
        heartbeat: Heartbeat,
        clock: Clock,
        session_timeout: timedelta,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._listener = listener
        self._heartbeat = heartbeat
        self._clock = clock
        self._session_seconds = session_timeout.total_seconds()
        self._to_pause: set[TopicPartition] = set()
        self._known = False
        self._turned = clock.monotonic()
        self._disowned_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Stays a member until `stop` is set, then leaves; blocks."""
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            while not stop.is_set():
                self.turn()
        finally:
            self._consumer.close()

    def turn(self) -> None:
        """Serves the membership once; blocks for at most half a second."""
        self._heartbeat.beat()
        self._turned = self._clock.monotonic()
        self._consumer.poll_batch(1, POLL)
        if self._to_pause:
            self._consumer.pause(self._to_pause)
            self._to_pause = set()
        if self._was_suspended():
            self._listener.revoked(_numbers(self._consumer.assignment()))
            self._disowned_at = self._clock.monotonic()
        elif self._disowned_at is not None:
            self._own_again(self._disowned_at)

    def check(self) -> str | None:
        """What is missing: the group has not said yet what is this replica's."""
        return None if self._known else "the group has not assigned any partition of cameras"

    def _own_again(self, disowned_at: float) -> None:
        """Takes up what the client still has: the broker, too, had been suspended."""
        if self._clock.monotonic() - disowned_at > self._session_seconds:
            self._disowned_at = None
            self._listener.assigned(_numbers(self._consumer.assignment()))

    def _was_suspended(self) -> bool:
        return self._clock.monotonic() - self._turned > self._session_seconds

    def _on_assign(self, partitions: Collection[TopicPartition]) -> None:
        self._known = True
        self._disowned_at = None
        self._to_pause |= set(partitions)
        self._listener.assigned(_numbers({*partitions, *self._consumer.assignment()}))

    def _on_revoke(self, partitions: Collection[TopicPartition]) -> None:
        self._to_pause -= set(partitions)
        self._listener.revoked(_numbers(partitions))

    def _on_lost(self, partitions: Collection[TopicPartition]) -> None:
        if self._was_suspended():
            self._on_revoke(partitions)
            return
        self._to_pause -= set(partitions)
        self._listener.lost(_numbers(partitions))


def _numbers(partitions: Collection[TopicPartition]) -> list[int]:
    return [each.partition for each in partitions]
