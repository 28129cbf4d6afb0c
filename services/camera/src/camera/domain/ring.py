"""A short queue that drops the oldest when it is full."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLimits:
    """How much may wait, and what it is called when something had to go."""

    frames: int = 10
    """At least 1."""
    size: int | None = None
    """Bytes; `None` bounds only the number."""
    reason: str = "ring_full"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"a ring holds at least 1 frame, not {self.frames}")


class Ring(Generic[T]):
    """A queue within limits; the newest item always fits. Not thread-safe.

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
        self._size += self._size_of(item)
        return self._shrink()

    def pop(self, count: int) -> list[T]:
        """Removes up to so many of the oldest items."""
        taken = [self._items.popleft() for _ in range(min(count, len(self._items)))]
        self._size -= sum(map(self._size_of, taken))
        return taken

    def _shrink(self) -> list[T]:
        dropped = []
        while self._over() and len(self._items) > 1:
            dropped += self.pop(1)
        return dropped

    def _over(self) -> bool:
        too_large = self.limits.size is not None and self._size > self.limits.size
        return too_large or len(self._items) > self.limits.frames
