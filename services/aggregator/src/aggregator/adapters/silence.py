"""Which cameras with open sightings sent nothing for so long that nobody will close them."""

from datetime import timedelta

from mesh.clock import Clock


class SilenceWatch:
    """Remembers when this process last worked on a frame of each camera with open sightings.

    Args:
        clock: Counts the silence; never the time in the frames.
        after: A camera that was silent for longer is due.
        stall: If nobody asked for longer than this, the process itself slept: its partitions may
            belong to another by now, and all cameras get their time anew.
    """

    def __init__(self, clock: Clock, *, after: timedelta, stall: timedelta) -> None:
        self._clock = clock
        self._after = after.total_seconds()
        self._stall = stall.total_seconds()
        self._asked = clock.monotonic()
        self._last: dict[tuple[int, str], float] = {}

    def note(self, partition: int, camera_id: str, *, is_open: bool) -> None:
        """A frame of the camera was worked on, and left it with or without open sightings."""
        if is_open:
            self._last[partition, camera_id] = self._clock.monotonic()
        else:
            self.forget(partition, camera_id)

    def forget(self, partition: int, camera_id: str) -> None:
        """The camera has nothing open."""
        self._last.pop((partition, camera_id), None)

    def clear(self) -> None:
        """Partitions changed hands."""
        self._last.clear()

    def due(self) -> list[tuple[int, str]]:
        """Partition and camera_id of the silent ones."""
        now = self._clock.monotonic()
        slept, self._asked = now - self._asked > self._stall, now
        if slept:
            self._last = dict.fromkeys(self._last, now)
        return [place for place in self._last if self.is_due(*place)]

    def is_due(self, partition: int, camera_id: str) -> bool:
        """Whether this one is silent, still."""
        last = self._last.get((partition, camera_id))
        return last is not None and self._clock.monotonic() - last > self._after
