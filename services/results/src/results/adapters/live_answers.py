"""Answers of the mesh and the requests that wait for them."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mesh.events import Answer

KEEP_SECONDS = 120.0
"""So long an answer helps with a frame that is repeated at this gateway: no claim lasts longer."""
_MOST = 2_000


@dataclass(slots=True)
class _Waiting:
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer]"


@dataclass(slots=True)
class _Gathering:
    loop: asyncio.AbstractEventLoop
    arriving: "asyncio.Queue[Answer]"


class Answers:
    """Matches answers with requests by request_id; `deliver` may be called from any thread.

    Every gateway hears every answer. The last ones are kept, so that a frame that is repeated here
    is answered although the gateway that took it first is gone.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._gathering: dict[str, _Gathering] = {}
        self._recent: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._listeners: list[Callable[[Answer], None]] = []

    def listen(self, listener: Callable[[Answer], None]) -> None:
        """Call this with every answer, in the thread that delivers it."""
        self._listeners.append(listener)

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

    @contextmanager
    def gather(self, request_id: str) -> Iterator["asyncio.Queue[Answer]"]:
        """Hear every answer to a request that several answer; enter before it is published."""
        gathering = _Gathering(asyncio.get_running_loop(), asyncio.Queue())
        with self._lock:
            self._gathering[request_id] = gathering
        try:
            yield gathering.arriving
        finally:
            with self._lock:
                del self._gathering[request_id]

    def deliver(self, answer: Answer) -> None:
        """An answer came from the mesh; the first one per request counts, unless all do."""
        with self._lock:
            if answer.kind == "frame" and answer.request_id not in self._recent:
                self._recent[answer.request_id] = (self._monotonic(), answer)
                self._forget()
            waiting = self._waiting.pop(answer.request_id, None)
            gathering = self._gathering.get(answer.request_id)
        for listener in self._listeners:
            listener(answer)
        if waiting is not None and not waiting.loop.is_closed():
            waiting.loop.call_soon_threadsafe(_settle, waiting.future, answer)
        if gathering is not None and not gathering.loop.is_closed():
            gathering.loop.call_soon_threadsafe(gathering.arriving.put_nowait, answer)

    def recent(self, request_id: str) -> Answer | None:
        """The answer to a recently pushed frame, whichever gateway it went through."""
        with self._lock:
            self._forget()
            known = self._recent.get(request_id)
        return known[1] if known else None

    def _forget(self) -> None:
        oldest = self._monotonic() - KEEP_SECONDS
        while self._recent:
            first = next(iter(self._recent))
            if len(self._recent) <= _MOST and self._recent[first][0] >= oldest:
                return
            del self._recent[first]


def _settle(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
