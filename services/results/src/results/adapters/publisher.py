"""Publishing from many requests through one producer that belongs to one thread."""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Protocol

from mesh.errors import MeshError, TransientError
from mesh.kafka import KafkaProducer
from mesh.kafka.producer import Delivered
from mesh.ports import Codec
from mesh.stage import Output
from results.domain.errors import AwayError, UnansweredError

_IDLE_SECONDS = 0.2
_BUSY = timedelta(milliseconds=2)


class Sender(Protocol):
    """What `mesh.kafka.EventProducer` does."""

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        """Queue an event."""

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        """Serve the callbacks."""

    def flush(self, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Wait for everything."""


class MeshSender:
    """Encodes and produces; says whether it is the registry or the broker that is away."""

    def __init__(self, codec: Codec, producer: KafkaProducer) -> None:
        self._codec = codec
        self._producer = producer

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        """Queue an event; what the broker says of it goes to `on_delivery`.

        Raises:
            AwayError: The registry did not tell the schema's number.
            TransientError: The queue stayed full.
            RejectedRecordError: The event is larger than the broker allows.
        """
        try:
            event = output.event
            value = None if event is None else self._codec.encode(output.topic, event)
        except TransientError as error:
            raise AwayError("registry", str(error)) from error
        self._producer.produce(
            output.topic, output.key, value, output.headers, on_delivery=on_delivery
        )

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        """Serve the callbacks."""
        self._producer.poll(timeout)

    def flush(self, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Wait for everything."""
        self._producer.flush(timeout)


class _Batch:
    """Outputs of one request and how many of them are not yet acknowledged."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = outputs
        self.done: Future[None] = Future()
        self._open = len(outputs)
        self._failure: MeshError | None = None

    def delivered(self, failure: MeshError | None) -> None:
        """One of them was settled."""
        self._open -= 1
        self._failure = self._failure or failure
        if self._open:
            return
        if self._failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self._failure)


class ThreadPublisher:
    """Takes events from any thread; each caller waits for its own acknowledgements."""

    def __init__(self, sender: Sender, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._sender = sender
        self._timeout = timeout
        self._queue: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._pending: list[_Batch] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """Publish what is queued, then stop."""
        self._closed.set()
        self._thread.join()

    def publish(self, outputs: Sequence[Output]) -> None:
        """Return once the broker has all of them; blocks.

        Raises:
            UnansweredError: It did not answer in time; what is queued may still reach it.
            TransientError: It did not take them.
            RejectedRecordError: One is larger than the broker allows.
        """
        if not outputs:
            return
        batch = _Batch(outputs)
        self._queue.put(batch)
        try:
            batch.done.result(self._timeout.total_seconds())
        except TimeoutError as error:
            message = f"the broker did not answer within {self._timeout}"
            raise UnansweredError("broker", message) from error

    def _run(self) -> None:
        while not self._closed.is_set() or not self._queue.empty():
            self._take()
            if self._pending:
                self._sender.poll(_BUSY)
                self._pending = [batch for batch in self._pending if not batch.done.done()]
        try:
            self._sender.flush()
        except MeshError as error:
            for batch in self._pending:
                if not batch.done.done():
                    batch.done.set_exception(error)

    def _take(self) -> None:
        try:
            batch = self._queue.get(timeout=0 if self._pending else _IDLE_SECONDS)
        except queue.Empty:
            return
        self._pending.append(batch)
        for output in batch.outputs:
            try:
                self._sender.send(output, batch.delivered)
            except MeshError as error:
                batch.delivered(error)
