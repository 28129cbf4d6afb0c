"""Frames, their account, statuses and events on their way to Kafka, from one thread."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from camera.adapters.refusals import Refusals
from camera.adapters.report_queue import ReportQueue
from camera.domain.silence import Silence
from camera.ports import Gauges
from mesh.clock import Clock
from mesh.errors import MeshError, RejectedRecordError, TransientError
from mesh.events import CameraStatus, LedgerEntry, LogEvent
from mesh.logs import get_logger
from mesh.ports import WorkerMetrics
from mesh.source.epoch import Epoch, Waiting
from mesh.stage import Output
from mesh.topics import Topics
from mesh.tracing import TraceContext, headers_for

_IN_FLIGHT = 10
"""Frames of one camera that may be on their way."""
_BUSY_SECONDS = 0.02
_GAP_SECONDS = 0.01
"""Between two turns, so that many cameras share one; a single one hardly ever meets it."""
_IDLE_SECONDS = 0.2

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
    unreachable_seconds: float = 5.0
    """A broker or registry that did not answer for so long is called unreachable."""


class KafkaPublisher:
    """Publishes what waits in the rings of all epochs, a few frames of each camera in turn.

    Whatever the broker does not take goes back to where it came from: a frame to its ring, which
    drops the oldest when it is full; a ledger entry to its epoch; a status unless there is a newer
    one. So the readers of cameras never wait for the broker, and nothing is lost without account.
    A camera's frames leave in their order, those of an earlier epoch before those of a later one.
    """

    def __init__(
        self,
        sender: Sender,
        settings: PublisherSettings,
        clock: Clock,
        *,
        metrics: WorkerMetrics,
        gauges: Gauges,
    ) -> None:
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._gauges = gauges
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._epochs: list[Epoch] = []
        self._reports = ReportQueue()
        self._in_flight = 0
        self._silence = Silence()
        self._refusals = Refusals(clock)
        self._fatal: MeshError | None = None
        self._ledger_due = clock.monotonic()

    def attach(self, epoch: Epoch) -> None:
        """Looks after an epoch until it is finished; never blocks."""
        with self._lock:
            self._epochs.append(epoch)

    def wake(self) -> None:
        """There are new frames; never blocks, called from any thread.

        A turn that was asked for before clears the flag first, and then sees these frames too.
        """
        if not self._wake.is_set():
            self._wake.set()

    def status(self, status: CameraStatus) -> None:
        """The latest status of a camera; replaces one that was not sent yet."""
        self._reports.status(status.camera_id, status)

    def forget(self, camera_id: str) -> None:
        """A camera was deleted: a tombstone replaces its status."""
        self._reports.status(camera_id, None)

    def event(self, event: LogEvent) -> None:
        """Something happened."""
        self._reports.event(event)

    def check(self) -> str | None:
        """Why nothing can be published, naming what is away; called from any thread."""
        limit = self._settings.unreachable_seconds
        if self._silence.seconds(self._clock.monotonic()) > limit:
            return f"kafka has not acknowledged anything for more than {limit:g} s"
        return self._refusals.lasting(limit)

    def run(self, stop: threading.Event, patience: timedelta) -> None:
        """Publishes until `stop` is set and everything is out, or the patience is over.

        Raises:
            MeshError: The broker or the registry refuses for good.
        """
        while not stop.is_set():
            self._wake.wait(_BUSY_SECONDS if self._in_flight else _IDLE_SECONDS)
            self._wake.clear()
            self.turn()
            self._clock.sleep(_GAP_SECONDS)
        deadline = self._clock.monotonic() + patience.total_seconds()
        while self._clock.monotonic() < deadline and self.pending():
            self._ledger_due = self._clock.monotonic()
            self.turn()
            self._clock.sleep(_BUSY_SECONDS)
        self._say_what_is_left()

    def pending(self) -> bool:
        """Whether anything is not published and acknowledged yet."""
        with self._lock:
            unfinished = any(not epoch.finished for epoch in self._epochs)
        return bool(unfinished or self._reports or self._in_flight)

    def turn(self) -> None:
        """Sends what there is and hears what became of the rest; blocks for at most seconds.

        Raises:
            MeshError: The broker or the registry refuses for good.
        """
        now = self._clock.monotonic()
        self._send_frames()
        self._send_events()
        self._send_statuses()
        if now >= self._ledger_due:
            self._ledger_due = now + self._settings.ledger_seconds
            self._send_ledger()
        self._sender.poll(timedelta(0))
        if self._fatal is not None:
            raise self._fatal

    def _send_frames(self) -> None:
        with self._lock:
            epochs = list(self._epochs)
        busy: set[str] = set()
        for epoch in epochs:
            if epoch.idle:
                continue
            topic = self._settings.topics.lane(epoch.lane)
            if epoch.camera_id in busy or self._refusals.waits(topic):
                busy.add(epoch.camera_id)
                continue
            for waiting in epoch.take(_IN_FLIGHT, self._clock.now()):
                headers = headers_for(TraceContext.new())
                output = Output(topic, epoch.camera_id, waiting.event, headers)
                self._send(output, partial(self._frame_delivered, epoch, waiting))
            if not epoch.drained:
                busy.add(epoch.camera_id)

    def _send_events(self) -> None:
        topic = self._settings.topics("events")
        if not self._refusals.waits(topic):
            for event in self._reports.take_events():
                output = Output(topic, event.camera_id or "", event)
                self._send(output, partial(self._event_delivered, event))

    def _send_statuses(self) -> None:
        topic = self._settings.topics("camera-status")
        if not self._refusals.waits(topic):
            for camera_id, status in self._reports.take_statuses().items():
                output = Output(topic, camera_id, status)
                self._send(output, partial(self._status_delivered, camera_id, status))

    def _send_ledger(self) -> None:
        with self._lock:
            self._epochs = [epoch for epoch in self._epochs if not epoch.finished]
            epochs = list(self._epochs)
        self._measure(epochs)
        topic = self._settings.topics("ledger")
        if self._refusals.waits(topic):
            return
        for epoch in epochs:
            for entry in epoch.report(self._clock.now(), self._settings.instance_id):
                output = Output(topic, entry.camera_id, entry)
                self._send(output, partial(self._entry_delivered, epoch, entry))

    def _send(self, output: Output, delivered: Delivered) -> None:
        def heard(error: MeshError | None) -> None:
            self._in_flight -= 1
            self._note(error)
            if error is None:
                self._metrics.produced(output.topic, 1)
            delivered(error)

        refusal = self._refusals.present(output.topic)
        if refusal is not None:
            delivered(refusal)
            return
        try:
            self._sender.send(output, heard)
        except RejectedRecordError as error:
            delivered(error)
        except TransientError as error:
            self._refusals.refused(output.topic, error)
            delivered(error)
        else:
            self._refusals.taken(output.topic)
            self._in_flight += 1
            self._silence.sent(self._clock.monotonic())

    def _note(self, error: MeshError | None) -> None:
        if error is None or isinstance(error, RejectedRecordError):
            self._silence.answered(self._clock.monotonic(), more=self._in_flight > 0)
        elif not isinstance(error, TransientError):
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
            return
        epoch.reported(entry)
        if entry.reason is not None:
            count = sum(each.last - each.first + 1 for each in entry.ranges)
            self._metrics.shed(str(entry.lane), entry.reason, count)

    def _status_delivered(
        self, camera_id: str, status: CameraStatus | None, error: MeshError | None
    ) -> None:
        self._reports.answered(camera_id, status, taken=error is None)

    def _event_delivered(self, event: LogEvent, error: MeshError | None) -> None:
        if error is not None:
            self._reports.give_back(event)

    def _measure(self, epochs: list[Epoch]) -> None:
        frames: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for lane, count, held in _waiting(epochs):
            frames[lane] += count
            size[lane] += held
        self._gauges.waiting(frames, size)

    def _say_what_is_left(self) -> None:
        """No record can tell of these: the log does."""
        left = {epoch.camera_id: epoch.waiting[0] for epoch in self._epochs if not epoch.drained}
        if left:
            get_logger("camera.publisher").error(
                "frames_abandoned", frames=sum(left.values()), cameras=sorted(left)
            )


def _waiting(epochs: list[Epoch]) -> Iterator[tuple[str, int, int]]:
    for epoch in epochs:
        frames, size = epoch.waiting
        yield str(epoch.lane), frames, size
