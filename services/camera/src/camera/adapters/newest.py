"""The newest of what one thread brings, for another one that may be slower."""

import threading
from typing import Generic, TypeVar

from camera.domain.life import ErrorCode
from camera.ports import SourceError

T = TypeVar("T")


class Newest(Generic[T]):
    """Holds one item; a newer one replaces it, whether it was taken or not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._error: SourceError | None = None
        self._over = False
        self.replaced = 0
        """Items that nobody took."""

    def put(self, item: T) -> None:
        """Brings a newer item; never blocks."""
        with self._changed:
            self.replaced += self._item is not None
            self._item = item
            self._changed.notify_all()

    def end(self, error: SourceError | None = None) -> None:
        """Nothing more will come, for this reason if there is one; only the first counts."""
        with self._changed:
            if not self._over:
                self._over, self._error = True, error
            self._changed.notify_all()

    def take(self, seconds: float) -> T | None:
        """The newest item, once there is one; `None` when nothing more will come.

        Raises:
            SourceError: It ended for a reason, or nothing came for so many seconds.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: self._item is not None or self._over, seconds)
            if not came:
                raise SourceError(ErrorCode.FROZEN, f"no picture for {seconds:g} s")
            if self._over and self._error is not None:
                raise self._error
            item, self._item = self._item, None
            return None if self._over else item
