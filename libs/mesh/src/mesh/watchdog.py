"""Ends a process whose work hangs: what never returns can only be stopped from outside."""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

_LOOKS = 4
_HUNG = 70
"""Exit code: an internal software error (sysexits.h)."""
_log = logging.getLogger(__name__)


def end_process(reason: str) -> None:
    """End at once and uncleanly, so that the records in hand become suspects."""
    _log.critical("%s; ending the process", reason)
    faulthandler.dump_traceback()
    os._exit(_HUNG)


class Watchdog:
    """Watches pieces of work, one at a time: `with watchdog: …`.

    A thread looks four times within the limit; a piece that four looks in a row have seen ends the
    process. Looks are counted instead of time, so that a process that was suspended is not taken
    for one that hangs. Should the work keep the interpreter lock, so that no thread of Python runs
    at all, the system's own timer ends the process after twice the limit.
    """

    def __init__(
        self, limit: timedelta | None = None, end: Callable[[str], None] = end_process
    ) -> None:
        """Take how long a piece may take, for ever unless set, and what ends the process."""
        self._limit = limit
        self._end = end
        self._piece = 0
        self._busy = False
        self._seen = (0, 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch, if there is a limit."""
        if self._limit is not None:
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer; repeatable."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def __enter__(self) -> None:
        """A piece of work begins."""
        self._piece += 1
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """It has ended, in whatever way."""
        self._busy = False

    def look(self) -> None:
        """Note what is being worked on; end the process if it has been that for too long."""
        piece, looks = self._seen
        self._seen = (self._piece, looks + 1 if piece == self._piece else 1)
        if not self._busy:
            self._seen = (self._piece, 0)
        elif self._seen[1] > _LOOKS:
            self._end(f"a batch has not ended within {self._limit}")

    def _run(self) -> None:
        limit = self._limit.total_seconds() if self._limit else 0.0
        while not self._over.wait(limit / _LOOKS):
            faulthandler.dump_traceback_later(2 * limit, exit=True)
            self.look()
