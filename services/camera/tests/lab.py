"""Everything of the camera service but Kafka and its main, with what it would have published."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from services.camera.tests.doubles import FakeGauges
from services.camera.tests.sites import captured, closed, published

from camera.adapters.kafka_publisher import Delivered, KafkaPublisher, PublisherSettings
from camera.domain.backoff import Backoff
from camera.domain.policy import CapturePolicy
from camera.ports import SourceFactory
from camera.stage import CameraStage, StageParts
from mesh.clock import SystemClock
from mesh.events import Camera, FrameCaptured, LedgerEntry, LogEvent
from mesh.metrics import StageMetrics
from mesh.stage import Output
from mesh.topics import Topics

NODE = "edge-1"
"""Where the devices of the lab hang."""
_TURN_SECONDS = 0.02
LONGEST = timedelta(milliseconds=600)
"""Between two attempts of a camera in the lab; half of it at least where people must help."""
E = TypeVar("E")


class MemoryBroker:
    """Takes everything and acknowledges it at the next poll."""

    def __init__(self) -> None:
        self.events: defaultdict[str, list[Any]] = defaultdict(list)
        self._waiting: list[tuple[Output, Delivered]] = []

    def send(self, output: Output, on_delivery: Delivered | None = None) -> None:
        assert on_delivery is not None
        self._waiting.append((output, on_delivery))

    def poll(self, timeout: timedelta = timedelta(0)) -> None:
        waiting, self._waiting = self._waiting, []
        for output, heard in waiting:
            self.events[output.key or ""].append(output.event)
            heard(None)


class Lab:
    """A stage with real sources; what it published is kept by camera."""

    def __init__(self, sources: SourceFactory) -> None:
        self.broker = MemoryBroker()
        self.publisher = KafkaPublisher(
            self.broker,
            PublisherSettings(topics=Topics(), instance_id="camera-0", ledger_seconds=0.2),
            SystemClock(),
            metrics=StageMetrics(CollectorRegistry()),
            gauges=FakeGauges(),
        )
        self.stage = CameraStage(
            StageParts(
                sources=sources,
                frames=self.publisher,
                reports=self.publisher,
                gauges=FakeGauges(),
                clock=SystemClock(),
                policy=CapturePolicy(instance_id="camera-0"),
                backoff=Backoff(initial=timedelta(milliseconds=100), maximum=LONGEST),
            ),
            partition_of=lambda _: 0,
            node=NODE,
        )
        self.stage.assigned([0])
        self.stage.registry_known()

    def add(self, camera: Camera) -> "Watched":
        self.stage.changed(camera.camera_id, camera)
        return Watched(self, camera)

    async def turns(self) -> None:
        while True:
            self.publisher.turn()
            await asyncio.sleep(_TURN_SECONDS)

    async def drain(self) -> None:
        """Ends every stream and publishes the rest."""
        self.stage.stop()
        await until(lambda: not self.publisher.pending())
        await until(lambda: not self._readers())

    def _readers(self) -> list[str]:
        """Threads that read cameras."""
        ends = tuple(camera_id[-12:] for camera_id in self.broker.events)
        return [each.name for each in threading.enumerate() if each.name.endswith(ends)]


class Watched:
    """One camera of the lab; waits for what becomes of it, one thing after the other."""

    def __init__(self, lab: Lab, camera: Camera) -> None:
        self.camera = camera
        self._lab = lab
        self._seen = 0
        """Transitions that were waited for."""

    def change(self, camera: Camera) -> None:
        self.camera = camera
        self._lab.stage.changed(camera.camera_id, camera)

    def of(self, kind: type[E]) -> list[E]:
        events = self._lab.broker.events[self.camera.camera_id]
        return [event for event in events if isinstance(event, kind)]

    async def becomes(self, status: str, *codes: str) -> LogEvent:
        """The next transition of this kind, and for one of these reasons if any is given."""

        def found() -> int | None:
            for place, event in enumerate(self.of(LogEvent)[self._seen :], self._seen):
                said = event.attributes
                if said["status"] == status and (not codes or said.get("error_code") in codes):
                    return place
            return None

        try:
            await until(lambda: found() is not None)
        except TimeoutError:
            heard = [
                (e.attributes["status"], e.attributes.get("error_code"), e.message)
                for e in self.of(LogEvent)[self._seen :]
            ]
            raise AssertionError(f"did not become {status} {codes}: {heard}") from None
        place = found()
        assert place is not None
        self._seen = place + 1
        return self.of(LogEvent)[place]

    async def shows(self, more: int = 3, width: int | None = None) -> None:
        """Waits for so many more pictures, of this width if one is given."""
        before = len(self.of(FrameCaptured))
        await until(
            lambda: (
                sum(width in {None, event.frame.width} for event in self.of(FrameCaptured)[before:])
                >= more
            )
        )

    def errors(self) -> list[str]:
        """Codes of every error so far."""
        events = (event.attributes for event in self.of(LogEvent))
        return [said.get("error_code", "") for said in events if said["status"] == "disconnected"]

    def check_books(self) -> None:
        """Every number of every epoch was published or shed, and every epoch was closed."""
        frames, entries = self.of(FrameCaptured), self.of(LedgerEntry)
        known = published(frames) | captured(entries, "shed")
        assert captured(entries) == known
        assert closed(entries) == {epoch for epoch, _ in known}
        for epoch in closed(entries):
            numbers = {number for of, number in known if of == epoch}
            assert numbers == set(range(len(numbers)))


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def a_lab(sources: SourceFactory) -> AsyncIterator[Lab]:
    lab = Lab(sources)
    turning = asyncio.create_task(lab.turns())
    try:
        yield lab
        await lab.drain()
    finally:
        turning.cancel()
        with suppress(asyncio.CancelledError):
            await turning
