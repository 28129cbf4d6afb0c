"""Whether the broker and the schema registry are there, for whoever asks how this process is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from mesh.errors import TransientError
from mesh.ports import Codec

_EVERY_SECONDS = 2.0
_PATIENCE = timedelta(seconds=5)


class BrokerProbe:
    """Asks the broker again and again, as a process without cameras says nothing to it.

    Args:
        ask: Raises `TransientError` unless the broker answers within this time.
    """

    def __init__(self, ask: Callable[[timedelta], None]) -> None:
        self._ask = ask
        self._problem: str | None = "kafka has not been asked yet"

    def run(self, stop: threading.Event) -> None:
        """Asks until `stop` is set; blocks."""
        while not stop.is_set():
            self.ask_once()
            stop.wait(_EVERY_SECONDS)

    def ask_once(self) -> None:
        """Asks once; blocks for at most seconds."""
        try:
            self._ask(_PATIENCE)
        except TransientError as error:
            self._problem = f"kafka does not answer: {error}"
        else:
            self._problem = None

    def check(self) -> str | None:
        """What was wrong at the last question."""
        return self._problem


class WatchedCodec:
    """A codec that remembers whether it lacks the schema registry."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._problems: dict[str, str] = {}

    def encode(self, topic: str, event: Any) -> bytes:
        """The event as a record value for the topic."""
        with self._noted(f"encode {topic}"):
            return self._codec.encode(topic, event)

    def decode(self, topic: str, data: bytes) -> Any:
        """The event in a record value."""
        with self._noted(f"decode {topic}"):
            return self._codec.decode(topic, data)

    def check(self) -> str | None:
        """Why records of some topic can be neither written nor read at present."""
        return next(iter(list(self._problems.values())), None)

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except TransientError as error:
            self._problems[what] = str(error)
            raise
        self._problems.pop(what, None)
