"""Answers of the mesh and the requests that wait for them."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mesh.events import Answer

KEEP_SECONDS = 600.0
"""How long an answer can be asked for again: as long as its topic keeps it."""
_MOST = 10_000


@dataclass(slots=True)
class _Waiting:
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer]"


class Answers:
    """Matches answers with requests by request_id; `deliver` may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._kept: OrderedDict[str, tuple[float, Answer | None]] = OrderedDict()

    @contextmanager
    def expect(self, request_id: str) -> Iterator["asyncio.Future[Answer]"]:
        """Wait for an answer; enter before the request is published."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop, loop.create_future())
        with self._lock:
            self._waiting[request_id] = waiting
        try:
            yield waiting.future
        finally:
            with self._lock:
                self._waiting.pop(request_id, None)

    def remember(self, request_id: str) -> None:
        """A client was told to ask for this answer later."""
        with self._lock:
            if request_id not in self._kept:
                self._keep(request_id, None)

    def deliver(self, answer: Answer) -> None:
        """An answer came from the mesh; the first one per request counts."""
        with self._lock:
            if self._kept.get(answer.request_id, (0.0, None))[1] is None and answer.kind != "frame":
                plain = replace(answer, result=None, embeddings=(), candidates=())
                self._keep(answer.request_id, plain)
            waiting = self._waiting.pop(answer.request_id, None)
        if waiting is not None and not waiting.loop.is_closed():
            waiting.loop.call_soon_threadsafe(_settle, waiting.future, answer)

    def lookup(self, request_id: str) -> tuple[bool, Answer | None]:
        """Whether the request is known here, and its answer if there is one."""
        with self._lock:
            self._forget()
            known = self._kept.get(request_id)
        return (known is not None, known[1] if known else None)

    def _keep(self, request_id: str, answer: Answer | None) -> None:
        self._kept[request_id] = (self._monotonic(), answer)
        self._kept.move_to_end(request_id)
        self._forget()

    def _forget(self) -> None:
        oldest = self._monotonic() - KEEP_SECONDS
        while self._kept:
            first = next(iter(self._kept))
            if len(self._kept) <= _MOST and self._kept[first][0] >= oldest:
                return
            del self._kept[first]


def _settle(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
