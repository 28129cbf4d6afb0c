"""The devices of one process: the work in hand, and whose it is (spec, 6.4)."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from inference.cards import Memory, gpu_memory
from inference.devices import Work
from inference.placing import Placing
from mesh.clock import Clock, SystemClock
from mesh.events import Priority
from mesh.record import Record
from mesh.stage import Emit, Reject, Stage

ASSIGNED_SECONDS = 60.0
"""A camera without a frame for longer is no longer counted as the device's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLoad:
    """What a device does for this process."""

    device: str
    max_jobs: int
    """Batches that it can be given at once."""
    jobs: int
    """Batches in hand."""
    queue: int
    """Frames that wait in memory."""
    cameras: tuple[str, ...]
    """Cameras whose frames it had lately."""


class DevicePool:
    """Places the batches of a stage and counts them; `loads` may be asked by any thread."""

    def __init__(
        self,
        placing: Placing,
        device: Callable[[], str],
        *,
        max_jobs: int,
        waiting: Callable[[], int],
        items: Callable[[Any], int],
        clock: Clock,
    ) -> None:
        """Take what is counted.

        Args:
            placing: says which batches go elsewhere.
            device: where the model would run now.
            max_jobs: batches that are worked on at once.
            waiting: frames that wait in memory.
            items: what is to be computed of an event.
            clock: forgets cameras.
        """
        self._device = device
        self._placing = placing
        self._max_jobs = max_jobs
        self._waiting = waiting
        self._items = items
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs = Counter[str]()
        self._seen: dict[str, tuple[str, float]] = {}
        """Device and time of the last frame by camera."""

    @contextmanager
    def working(self, batch: Sequence[Record[Any]]) -> Iterator[None]:
        """While frames are in hand; the key of a record is its camera."""
        serving = self._device()
        items = sum(self._items(record.event) for record in batch)
        assigned = self._placing.assigned(one.key for one in batch)
        work = Work(priority=_highest(batch), batch=items, assigned=assigned)
        # What needs no model needs no device either.
        with self._placing.placed(work, serving) if items else nullcontext(serving) as device:
            now = self._clock.monotonic()
            with self._lock:
                self._jobs[device] += 1
                self._seen |= {one.key: (device, now) for one in batch if one.key is not None}
            try:
                yield
            finally:
                with self._lock:
                    self._jobs[device] -= 1

    def loads(self) -> Sequence[DeviceLoad]:
        """What each device does now, or did lately; the one that would serve comes first."""
        serving, waiting = self._device(), self._waiting()
        now = self._clock.monotonic()
        with self._lock:
            self._seen = {
                camera: (device, at)
                for camera, (device, at) in self._seen.items()
                if now - at <= ASSIGNED_SECONDS
            }
            jobs = +self._jobs
            seen = {camera: device for camera, (device, _) in self._seen.items()}
        return [
            DeviceLoad(
                device=device,
                max_jobs=self._max_jobs,
                jobs=jobs[device],
                queue=waiting if device == serving else 0,
                cameras=tuple(sorted(camera for camera, on in seen.items() if on == device)),
            )
            for device in dict.fromkeys([serving, *sorted({*jobs, *seen.values()})])
        ]


def _highest(batch: Sequence[Record[Any]]) -> Priority | None:
    given = {record.event.frame.priority for record in batch}
    return next((priority for priority in Priority if priority in given), None)


class PooledStage:
    """A stage whose work a pool places and counts; its events are of frames."""

    def __init__(self, stage: Stage[Any], pool: DevicePool) -> None:
        self._stage = stage
        self._pool = pool

    def process(self, batch: Sequence[Record[Any]]) -> Sequence[Emit | Reject]:
        """See `Stage.process`."""
        with self._pool.working(batch):
            return self._stage.process(batch)

    def give_up(
        self, batch: Sequence[Record[Any]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """See `Stage.give_up`."""
        return self._stage.give_up(batch, outcome, reason)


class PoolMetrics(Collector):
    """A pool and the GPUs of the machine as metrics, read anew at each scrape."""

    def __init__(
        self,
        pool: DevicePool,
        memory: Callable[[], Sequence[Memory]],
        registry: CollectorRegistry,
    ) -> None:
        """Register the metrics, behind itself: it is asked first and sets them."""
        self._pool = pool
        self._memory = memory
        registry.register(self)
        self._jobs = Gauge(
            "sightline_device_jobs", "Batches in hand.", ["device"], registry=registry
        )
        self._jobs_max = Gauge(
            "sightline_device_jobs_max", "Batches at once.", ["device"], registry=registry
        )
        self._queue = Gauge(
            "sightline_device_queue", "Frames that wait in memory.", ["device"], registry=registry
        )
        self._cameras = Gauge(
            "sightline_device_cameras",
            "Cameras with a frame in the last minute.",
            ["device"],
            registry=registry,
        )
        self._total = Gauge(
            "sightline_gpu_memory_mb",
            "Memory of a GPU, MiB.",
            ["device", "name"],
            registry=registry,
        )
        self._available = Gauge(
            "sightline_gpu_memory_available_mb",
            "Free memory of a GPU, MiB.",
            ["device", "name"],
            registry=registry,
        )
        self._busy = Gauge(
            "sightline_gpu_utilisation",
            "Share of the time that a GPU computed lately.",
            ["device", "name"],
            registry=registry,
        )

    @override
    def collect(self) -> Sequence[Metric]:
        """Set the metrics; they tell themselves."""
        of_devices = (self._jobs, self._jobs_max, self._queue, self._cameras)
        for gauge in (*of_devices, self._total, self._available, self._busy):
            gauge.clear()
        for load in self._pool.loads():
            self._jobs.labels(load.device).set(load.jobs)
            self._jobs_max.labels(load.device).set(load.max_jobs)
            self._queue.labels(load.device).set(load.queue)
            self._cameras.labels(load.device).set(len(load.cameras))
        for one in self._memory():
            self._total.labels(one.device, one.name).set(one.total_mb)
            self._available.labels(one.device, one.name).set(one.available_mb)
            if one.utilisation is not None:
                self._busy.labels(one.device, one.name).set(one.utilisation)
        return []


def _itself(_: Any) -> int:
    return 1


def watch_device(
    placing: Placing,
    device: Callable[[], str],
    *,
    waiting: Callable[[], int] = lambda: 0,
    items: Callable[[Any], int] = _itself,
) -> DevicePool:
    """A pool of a service that works on one batch at a time, as metrics of the same registry.

    Args:
        placing: says which batches go elsewhere.
        device: where the model would run now.
        waiting: frames that wait in memory.
        items: what is to be computed of an event; one picture if nothing is said.
    """
    pool = DevicePool(
        placing, device, max_jobs=1, waiting=waiting, items=items, clock=SystemClock()
    )
    PoolMetrics(pool, gpu_memory, placing.registry)
    return pool
