"""What librdkafka says: it repeats a failed connection twenty times a second."""

import logging
import time
from collections.abc import Callable
from functools import cache

from typing_extensions import override

_QUIET_SECONDS = 30.0


class Sparse(logging.Filter):
    """Lets a message of one kind from one client pass twice a minute, with how often it came."""

    def __init__(
        self, seconds: float = _QUIET_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take for how long to hold repetitions back, and the time."""
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._passed: dict[str, float] = {}
        self._held: dict[str, int] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it may pass; kind and client are what stands before the first bracket closes."""
        message = record.getMessage()
        kind, now = message.partition("]")[0], self._clock()
        if now - self._passed.get(kind, float("-inf")) < self._seconds:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        if held := self._held.pop(kind, 0):
            record.msg, record.args = f"{message} ({held} more like it before)", ()
        self._passed[kind] = now
        return True


@cache
def client_log() -> logging.Logger:
    """The logger that every Kafka client is given."""
    log = logging.getLogger("mesh.kafka.client")
    log.addFilter(Sparse())
    return log
