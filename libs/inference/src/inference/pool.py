"""The devices of one process: their memory, the work in hand, and whose it is (spec, 6.4)."""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from mesh.clock import Clock, SystemClock
from mesh.record import Record
from mesh.stage import Emit, Reject, Stage

ASSIGNED_SECONDS = 60.0
"""A camera without a frame for longer is no longer counted as the device's."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of one GPU."""

    device: str
    """GPU-0, …"""
    name: str
    """Of the product."""
    total_mb: int
    available_mb: int
    utilisation: float | None = None
    """Share of the time that it computed lately, 0 to 1; none where nobody tells it."""


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
    """Counts the work of a stage by device; safe to use from several threads."""

    def __init__(
        self,
        device: Callable[[], str],
        *,
        max_jobs: int,
        waiting: Callable[[], int],
        clock: Clock,
    ) -> None:
        """Take what is counted.

        Args:
            device: where the model runs now.
            max_jobs: batches that are worked on at once.
            waiting: frames that wait in memory.
            clock: forgets cameras.
        """
        self._device = device
        self._max_jobs = max_jobs
        self._waiting = waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs = 0
        self._seen: dict[str, float] = {}

    def begin(self, cameras: Iterable[str]) -> None:
        """A batch with frames of these cameras is in hand."""
        now = self._clock.monotonic()
        with self._lock:
            self._jobs += 1
            self._seen |= dict.fromkeys(cameras, now)

    def end(self) -> None:
        """A batch is done."""
        with self._lock:
            self._jobs -= 1

    def load(self) -> DeviceLoad:
        """What the device does now."""
        now = self._clock.monotonic()
        with self._lock:
            self._seen = {
                camera: at for camera, at in self._seen.items() if now - at <= ASSIGNED_SECONDS
            }
            cameras, jobs = tuple(sorted(self._seen)), self._jobs
        return DeviceLoad(
            device=self._device(),
            max_jobs=self._max_jobs,
            jobs=jobs,
            queue=self._waiting(),
            cameras=cameras,
        )


class PooledStage:
    """A stage whose work a pool counts; the key of a record is its camera."""

    def __init__(self, stage: Stage[Any], pool: DevicePool) -> None:
        self._stage = stage
        self._pool = pool

    def process(self, batch: Sequence[Record[Any]]) -> Sequence[Emit | Reject]:
        """See `Stage.process`."""
        self._pool.begin(record.key for record in batch if record.key is not None)
        try:
            return self._stage.process(batch)
        finally:
            self._pool.end()

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
        load = self._pool.load()
        for gauge, value in (
            (self._jobs, load.jobs),
            (self._jobs_max, load.max_jobs),
            (self._queue, load.queue),
            (self._cameras, len(load.cameras)),
        ):
            gauge.clear()
            gauge.labels(load.device).set(value)
        for one in self._memory():
            self._total.labels(one.device, one.name).set(one.total_mb)
            self._available.labels(one.device, one.name).set(one.available_mb)
            if one.utilisation is not None:
                self._busy.labels(one.device, one.name).set(one.utilisation)
        return []


def watch_device(
    registry: CollectorRegistry,
    device: Callable[[], str],
    *,
    waiting: Callable[[], int] = lambda: 0,
) -> DevicePool:
    """A pool of a service that works on one batch at a time, as metrics of this registry.

    Args:
        registry: of the process.
        device: where the model runs now.
        waiting: frames that wait in memory.
    """
    pool = DevicePool(device, max_jobs=1, waiting=waiting, clock=SystemClock())
    PoolMetrics(pool, gpu_memory, registry)
    return pool


def gpu_memory(find: Callable[[str], Any] | None = None) -> Sequence[Memory]:
    """The GPUs that NVIDIA's library (`nvidia-ml-py`) or torch tells of; none without either.

    Args:
        find: gives a module by name, or none.
    """
    find = find or _module
    for name, read in (("pynvml", _by_nvml), ("torch", _by_torch)):
        library = find(name)
        found = read(library) if library else ()
        if found:
            return found
    return ()


def _module(name: str) -> Any:
    """A module that is at hand; torch only where it runs models anyway, since it is large."""
    if name == "torch":
        return sys.modules.get(name)
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def _by_nvml(nvml: Any) -> Sequence[Memory]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    found = []
    for number in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        found.append(
            Memory(
                device=f"GPU-{number}",
                name=str(nvml.nvmlDeviceGetName(handle)),
                total_mb=memory.total // _MIB,
                available_mb=memory.free // _MIB,
                utilisation=nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0,
            )
        )
    return found


def _by_torch(torch: Any) -> Sequence[Memory]:
    if not torch.cuda.is_available():
        return ()
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        found.append(
            Memory(
                device=f"GPU-{number}",
                name=str(torch.cuda.get_device_name(number)),
                total_mb=total // _MIB,
                available_mb=free // _MIB,
            )
        )
    return found
