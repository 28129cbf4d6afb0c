"""Frames, their account, statuses and events on their way to Kafka, from one thread."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from camera.domain.epoch import Epoch, Waiting
from mesh.clock import Clock
from mesh.errors import MeshError, RejectedRecordError, TransientError
from mesh.events import CameraStatus, LedgerEntry, LogEvent
from mesh.ports import WorkerMetrics
from mesh.stage import Output
from mesh.topics import Topics
from mesh.tracing import TraceContext, headers_for

_IN_FLIGHT_PER_EPOCH = 10
_EVENTS = 1000
"""Events that may wait for the broker; older ones are dropped first."""
_BUSY_SECONDS = 0.02
_IDLE_SECONDS = 0.2
_PAUSE_SECONDS = 0.5
_UNREACHABLE_SECONDS = 5.0

Delivered = Callable[[MeshError | None], None]


class Sender(Protocol):
    """The part of `mesh.kafka.EventProducer` that is needed here."""

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        """Queues an event; the callback hears from inside `poll` what became of it."""

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        """Lets the callbacks be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherSettings:
    """Who publishes, where, and how often the ledger hears."""

    topics: Topics
    instance_id: str
    ledger_seconds: float = 2.0


class KafkaPublisher:
    """Publishes what waits in the rings of all epochs, a few frames of each in turn.

    Whatever the broker does not take goes back to where it came from: a frame to its ring, which
    drops the oldest when it is full; a ledger entry to its epoch; a status unless there is a newer
    one. So the readers of cameras never wait for the broker, and nothing is lost without account.
    """

    def __init__(
        self, sender: Sender, settings: PublisherSettings, clock: Clock, metrics: WorkerMetrics
    ) -> None:
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._epochs: list[Epoch] = []
        self._statuses: dict[str, CameraStatus | None] = {}
        self._newest: dict[str, CameraStatus | None] = {}
        self._events: deque[LogEvent] = deque(maxlen=_EVENTS)
        self._in_flight = 0
        self._failing_since: float | None = None
        self._waiting_since: float | None = None
        self._fatal: MeshError | None = None
        self._refusal: TransientError | None = None
        self._paused_until = 0.0
        self._ledger_due = clock.monotonic()

    def attach(self, epoch: Epoch) -> None:
        """Looks after an epoch until it is finished; never blocks."""
        with self._lock:
            self._epochs.append(epoch)

    def wake(self) -> None:
        """There are new frames; never blocks, called from any thread."""
        self._wake.set()

    def status(self, status: CameraStatus) -> None:
        """The latest status of a camera; replaces one that was not sent yet."""
        self._note_status(status.camera_id, status)

    def forget(self, camera_id: str) -> None:
        """A camera was deleted: a tombstone replaces its status."""
        self._note_status(camera_id, None)

    def event(self, event: LogEvent) -> None:
        """Something happened."""
        with self._lock:
            self._events.append(event)

    def check(self) -> str | None:
        """What is wrong with the broker, as far as publishing shows."""
        now = self._clock.monotonic()
        since = self._failing_since if self._failing_since is not None else self._waiting_since
        if since is not None and now - since > _UNREACHABLE_SECONDS:
            return f"the broker has not acknowledged anything for {now - since:.0f} s"
        return None

    def run(self, stop: threading.Event, patience: timedelta) -> None:
        """Publishes until `stop` is set and everything is out, or the patience is over.

        Raises:
            MeshError: The broker or the registry refuses for good.
        """
        while not stop.is_set():
            self._wake.wait(_BUSY_SECONDS if self._in_flight else _IDLE_SECONDS)
            self._wake.clear()
            self.turn()
        deadline = self._clock.monotonic() + patience.total_seconds()
        while self._clock.monotonic() < deadline and self.pending():
            self._ledger_due = self._clock.monotonic()
            self.turn()
            self._clock.sleep(_BUSY_SECONDS)

    def pending(self) -> bool:
        """Whether anything is not published and acknowledged yet."""
        with self._lock:
            unfinished = any(not epoch.finished for epoch in self._epochs)
            return bool(unfinished or self._statuses or self._events or self._in_flight)

    def turn(self) -> None:
        """Sends what there is and hears what became of the rest; blocks for at most seconds.

        Raises:
            MeshError: The broker or the registry refuses for good.
        """
        now = self._clock.monotonic()
        if now >= self._paused_until:
            self._refusal = None
            self._send_frames()
            self._send_reports()
            if now >= self._ledger_due:
                self._ledger_due = now + self._settings.ledger_seconds
                self._send_ledger()
        self._sender.poll(timedelta(0))
        if self._fatal is not None:
            raise self._fatal

    def _note_status(self, camera_id: str, status: CameraStatus | None) -> None:
        with self._lock:
            self._statuses[camera_id] = self._newest[camera_id] = status

    def _send_frames(self) -> None:
        with self._lock:
            epochs = list(self._epochs)
        for epoch in epochs:
            topic = self._settings.topics.lane(epoch.lane)
            for waiting in epoch.take(_IN_FLIGHT_PER_EPOCH):
                headers = headers_for(TraceContext.new())
                output = Output(topic, epoch.camera_id, waiting.event, headers)
                self._send(output, partial(self._frame_delivered, epoch, waiting))

    def _send_reports(self) -> None:
        with self._lock:
            statuses, self._statuses = self._statuses, {}
            events = [self._events.popleft() for _ in range(len(self._events))]
        for event in events:
            output = Output(self._settings.topics("events"), event.camera_id or "", event)
            self._send(output, partial(self._event_delivered, event))
        for camera_id, status in statuses.items():
            output = Output(self._settings.topics("camera-status"), camera_id, status)
            self._send(output, partial(self._status_delivered, camera_id, status))

    def _send_ledger(self) -> None:
        with self._lock:
            self._epochs = [epoch for epoch in self._epochs if not epoch.finished]
            epochs = list(self._epochs)
        for epoch in epochs:
            for entry in epoch.report(self._clock.now(), self._settings.instance_id):
                output = Output(self._settings.topics("ledger"), entry.camera_id, entry)
                self._send(output, partial(self._entry_delivered, epoch, entry))

    def _send(self, output: Output, delivered: Delivered) -> None:
        def heard(error: MeshError | None) -> None:
            self._in_flight -= 1
            self._note(error)
            if error is None:
                self._metrics.produced(output.topic, 1)
            delivered(error)

        self._in_flight += 1
        if self._waiting_since is None:
            self._waiting_since = self._clock.monotonic()
        if self._refusal is not None:
            heard(self._refusal)
            return
        try:
            self._sender.send(output, heard)
        except RejectedRecordError as error:
            heard(error)
        except TransientError as error:
            self._refusal = error
            self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
            heard(error)

    def _note(self, error: MeshError | None) -> None:
        now = self._clock.monotonic()
        self._waiting_since = now if self._in_flight else None
        if error is None or isinstance(error, RejectedRecordError):
            self._failing_since = None
        elif isinstance(error, TransientError):
            self._failing_since = now if self._failing_since is None else self._failing_since
        else:
            self._fatal = error

    def _frame_delivered(self, epoch: Epoch, waiting: Waiting, error: MeshError | None) -> None:
        if error is None:
            epoch.acknowledge(waiting.sequence)
        elif isinstance(error, RejectedRecordError):
            epoch.refuse(waiting.sequence, "too_large")
        else:
            epoch.give_back(waiting.sequence)

    def _entry_delivered(self, epoch: Epoch, entry: LedgerEntry, error: MeshError | None) -> None:
        if error is not None:
            epoch.unreported(entry)
        elif entry.reason is not None:
            count = sum(each.last - each.first + 1 for each in entry.ranges)
            self._metrics.shed(str(entry.lane), entry.reason, count)

    def _status_delivered(
        self, camera_id: str, status: CameraStatus | None, error: MeshError | None
    ) -> None:
        with self._lock:
            if error is not None and self._newest[camera_id] is status:
                self._statuses[camera_id] = status

    def _event_delivered(self, event: LogEvent, error: MeshError | None) -> None:
        if error is not None:
            with self._lock:
                if len(self._events) < _EVENTS:
                    self._events.appendleft(event)
