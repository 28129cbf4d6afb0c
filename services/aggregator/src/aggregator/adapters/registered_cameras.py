"""Which cameras exist, read from the compacted topic `cameras` whenever it is asked."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.kafka import KafkaTail
from mesh.logs import get_logger
from mesh.record import Record
from mesh.settings import MeshSettings

_LOOK_S = 0.1


class RegisteredCameras:
    """Reads the whole topic each time: seldom, so that no consumer is kept for it.

    Args:
        settings: Where the broker is.
        clock: Counts the time.
        within: Time to read it.
    """

    def __init__(
        self, settings: MeshSettings, clock: Clock, *, within: timedelta = timedelta(seconds=30)
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._within = within.total_seconds()

    async def read(self) -> frozenset[str] | None:
        """The camera_ids of all cameras; nothing if they could not be read in time."""
        found: set[str] = set()
        stop = threading.Event()
        topic = self._settings.topics("cameras")
        tail = KafkaTail(self._settings, _Bytes(), topics=[topic])
        reading = asyncio.ensure_future(
            asyncio.to_thread(tail.run, lambda record: _note(found, record), stop)
        )
        deadline = self._clock.monotonic() + self._within
        try:
            while not (tail.caught_up.is_set() or reading.done()):
                if self._clock.monotonic() > deadline:
                    break
                await asyncio.sleep(_LOOK_S)
        finally:
            stop.set()
        try:
            await reading
        except MeshError as error:
            get_logger("registered_cameras").warning("cameras_unread", message=str(error))
            return None
        return frozenset(found) if tail.caught_up.is_set() else None


def _note(found: set[str], record: Record[Any]) -> None:
    if record.key is None:
        return
    if record.event is None:
        found.discard(record.key)
    else:
        found.add(record.key)


class _Bytes:
    """Leaves values as they are: that a camera has one is enough."""

    def encode(self, topic: str, event: Any) -> bytes:
        """Nothing is written."""
        raise NotImplementedError

    def decode(self, topic: str, data: bytes) -> Any:
        """The bytes, whatever the topic."""
        del topic
        return data
