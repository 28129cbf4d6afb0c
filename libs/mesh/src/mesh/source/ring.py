"""A short queue that drops the oldest when it is full."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Allowance:
    """What several rings may hold together; thread-safe.

    Args:
        frames: Items; `None` bounds only the bytes.
        size: Bytes; `None` bounds only the number.
        within: A larger allowance that this one is a part of.
    """

    def __init__(
        self,
        *,
        frames: int | None = None,
        size: int | None = None,
        within: "Allowance | None" = None,
    ) -> None:
        self._most = (frames, size)
        self._within = within
        self._lock = threading.Lock()
        self._frames = self._size = 0

    def note(self, frames: int, size: int) -> None:
        """So many items and bytes were added, or removed where negative."""
        with self._lock:
            self._frames += frames
            self._size += size
        if self._within is not None:
            self._within.note(frames, size)

    @property
    def exceeded(self) -> bool:
        """Whether the rings hold too much."""
        frames, size = self._most
        with self._lock:
            too_many = frames is not None and self._frames > frames
            too_large = size is not None and self._size > size
        return too_many or too_large or (self._within is not None and self._within.exceeded)

    def fits(self, size: int) -> bool:
        """Whether one more item of so many bytes would exceed nothing."""
        frames, most = self._most
        with self._lock:
            fits = (frames is None or self._frames < frames) and (
                most is None or self._size + size <= most
            )
        return fits and (self._within is None or self._within.fits(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLimits:
    """How much may wait, and what it is called when something had to go."""

    frames: int = 10
    """At least 1."""
    size: int | None = None
    """Bytes; `None` bounds only the number."""
    reason: str = "ring_full"
    shared: Allowance | None = None
    """What this ring may hold together with others."""

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"a ring holds at least 1 frame, not {self.frames}")


class Ring(Generic[T]):
    """A queue within limits. Not thread-safe.

    The newest item always fits the ring's own limits, but not always what it shares with others.

    Args:
        limits: How much may wait.
        size_of: Bytes of an item.
    """

    def __init__(self, limits: RingLimits, size_of: Callable[[T], int]) -> None:
        self.limits = limits
        self._size_of = size_of
        self._items: deque[T] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: T) -> list[T]:
        """Adds the newest item and returns what had to go, oldest first."""
        self._items.append(item)
        self._note(1, self._size_of(item))
        return self._shrink()

    def pop(self, count: int) -> list[T]:
        """Removes up to so many of the oldest items."""
        taken = [self._items.popleft() for _ in range(min(count, len(self._items)))]
        self._note(-len(taken), -sum(map(self._size_of, taken)))
        return taken

    @property
    def size(self) -> int:
        """Bytes of what waits."""
        return self._size

    def _note(self, frames: int, size: int) -> None:
        self._size += size
        if self.limits.shared is not None:
            self.limits.shared.note(frames, size)

    def _shrink(self) -> list[T]:
        dropped = []
        while self._items and (self._exceeds_shared() or (self._over() and len(self._items) > 1)):
            dropped += self.pop(1)
        return dropped

    def _exceeds_shared(self) -> bool:
        return self.limits.shared is not None and self.limits.shared.exceeded

    def _over(self) -> bool:
        too_large = self.limits.size is not None and self._size > self.limits.size
        return too_large or len(self._items) > self.limits.frames
