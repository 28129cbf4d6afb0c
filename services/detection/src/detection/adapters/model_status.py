"""The heartbeat of the loaded model: once a second, from a thread of its own."""

import mmap
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from detection.domain.meter import ModelMeter
from detection.ports import ModelInfo
from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.events import ModelStatus

INTERVAL_SECONDS = 1.0
SILENCE_SECONDS = 10.0
"""Without an acknowledged heartbeat for longer the broker counts as away."""

_STATM = Path("/proc/self/statm")
_MIB = 1 << 20


class ModelHeartbeat:
    """Measures the engine and publishes `ModelStatus` every second while it is entered.

    The measuring methods may be called from any thread. A broker that is away costs heartbeats,
    nothing else: the next one says the same.
    """

    def __init__(
        self,
        *,
        info: ModelInfo,
        instance_id: str,
        publish: Callable[[ModelStatus], None],
        waiting: Callable[[], int],
        clock: Clock,
    ) -> None:
        """Take what is known of the model and where heartbeats go.

        Args:
            info: the model.
            instance_id: this process.
            publish: sends one status and waits for the broker; may raise TransientError.
            waiting: how many frames wait in memory.
            clock: the time.
        """
        self._info = info
        self._instance_id = instance_id
        self._publish = publish
        self._waiting = waiting
        self._clock = clock
        self._meter = ModelMeter()
        self._lock = threading.Lock()
        self._read_at = clock.monotonic()
        self._state = "loading"
        self._heard_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def loaded(self) -> None:
        """The model is warm."""
        with self._lock:
            self._meter.loaded()

    def worked(self, frames: int, seconds: float) -> None:
        """The engine took `seconds` for `frames` pictures."""
        with self._lock:
            self._meter.worked(frames, seconds)

    def failed(self) -> None:
        """The engine failed on a picture."""
        with self._lock:
            self._meter.failed()

    def model_check(self) -> str | None:
        """What keeps the model from working, as of the last status."""
        return None if self._state in {"available", "degraded"} else f"the model is {self._state}"

    def broker_check(self) -> str | None:
        """Whether the broker acknowledged a heartbeat lately."""
        if self._heard_at is None:
            return "the broker has not answered yet"
        age = self._clock.monotonic() - self._heard_at
        return f"the broker is silent for {age:.0f} s" if age > SILENCE_SECONDS else None

    def status(self) -> ModelStatus:
        """The status since the last one."""
        now = self._clock.monotonic()
        with self._lock:
            reading = self._meter.read(now - self._read_at)
        self._read_at, self._state = now, reading.state
        info = self._info
        return ModelStatus(
            model_id=info.model_id,
            instance_id=self._instance_id,
            service="detection",
            task="face-detection",
            name=info.name,
            version=info.version,
            licence=info.licence,
            sha256=info.sha256,
            pack=info.pack,
            device=info.device,
            engine=info.engine,
            state=reading.state,
            aliases=info.aliases,
            utilisation=reading.utilisation,
            queue=self._waiting(),
            latency_p50_ms=_milliseconds(reading.latency_p50),
            latency_p99_ms=_milliseconds(reading.latency_p99),
            throughput_fps=reading.throughput,
            memory_mb=_resident_mib(),
            max_batch=info.max_batch,
            heartbeat_at=self._clock.now(),
        )

    def _run(self) -> None:
        log = structlog.get_logger("detection")
        while not self._stop.is_set():
            try:
                self._publish(self.status())
                self._heard_at = self._clock.monotonic()
            except TransientError as error:
                log.warning("heartbeat_lost", message=str(error))
            self._stop.wait(INTERVAL_SECONDS)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000.0 * seconds


def _resident_mib() -> float | None:
    """Resident memory of this process, where the system tells it."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE / _MIB
