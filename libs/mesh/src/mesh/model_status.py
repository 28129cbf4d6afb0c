"""How a loaded model does, and its heartbeat: `ModelStatus` once a second, from a thread."""

import math
import mmap
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.events import LogEvent, ModelStatus
from mesh.health import Check
from mesh.identity import derived_id
from mesh.stage import Output

INTERVAL_SECONDS = 1.0
MODEL_DRIFT = "model_drift"
"""Type of the log event."""
SILENCE_SECONDS = 10.0
"""Without an acknowledged heartbeat for longer the broker counts as away."""

_PATIENCE = timedelta(seconds=5)
_REMEMBERED = 512
_DEAD_AFTER = 8
_STATM = Path("/proc/self/statm")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a meter shows since the last reading."""

    state: str
    """loading, available, degraded or failed."""
    utilisation: float
    """Share of the time spent in the engine, 0 to 1."""
    throughput: float
    """Frames or faces per second."""
    latency_p50: float | None
    """Seconds per frame or face over the last ones; none before the first."""
    latency_p99: float | None
    """Seconds per frame or face."""


class ModelMeter:
    """Adds up what an engine does between readings; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._read_at = clock.monotonic()
        self._done = 0
        self._busy = 0.0
        self._failures = 0
        self._in_a_row = 0
        self._loaded = False
        self._condition: Callable[[], str] = lambda: "available"

    def loaded(self) -> None:
        """The model is warm; what was measured before is forgotten."""
        self.forget()
        with self._lock:
            self._loaded = True

    def forget(self) -> None:
        """Another model serves from now on: latencies and failures were those of the one before."""
        with self._lock:
            self._latencies.clear()
            self._failures = self._in_a_row = 0

    def follow(self, condition: Callable[[], str]) -> None:
        """The state is never better than what this tells from now on: that of a fallback chain."""
        self._condition = condition

    def worked(self, count: int, seconds: float) -> None:
        """The engine took `seconds` for `count` frames or faces, at least one."""
        with self._lock:
            self._done += count
            self._busy += seconds
            self._latencies.extend([seconds / count] * count)
            self._in_a_row = 0

    def failed(self) -> None:
        """The engine failed on a frame."""
        with self._lock:
            self._failures += 1
            self._in_a_row += 1

    def read(self) -> Reading:
        """The reading since the last one."""
        told = self._condition()
        with self._lock:
            now = self._clock.monotonic()
            elapsed, self._read_at = now - self._read_at, now
            reading = Reading(
                state=self._state(told),
                utilisation=min(1.0, self._busy / elapsed) if elapsed > 0 else 0.0,
                throughput=self._done / elapsed if elapsed > 0 else 0.0,
                latency_p50=percentile(self._latencies, 0.50),
                latency_p99=percentile(self._latencies, 0.99),
            )
            self._done, self._busy, self._failures = 0, 0.0, 0
            return reading

    def _state(self, told: str) -> str:
        if not self._loaded:
            return "loading"
        if self._in_a_row >= _DEAD_AFTER:
            return "failed"
        return "degraded" if self._failures and told == "available" else told


class LoadedModel(Protocol):
    """What is known of a model that runs."""

    @property
    def model_id(self) -> str:
        """Identifier in the model registry."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def version(self) -> str:
        """Version of the weights."""

    @property
    def licence(self) -> str:
        """Licence of the weights."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the main file."""

    @property
    def pack(self) -> str:
        """Pack it came with."""

    @property
    def device(self) -> str:
        """Device it runs on."""

    @property
    def engine(self) -> str:
        """Runtime."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the specification that mean this model."""


@runtime_checkable
class FromFile(Protocol):
    """What a model may tell besides, if it was loaded from a file of this machine."""

    @property
    def path(self) -> str | None:
        """The main file as it was loaded."""

    @property
    def precision(self) -> str | None:
        """Numbers that the engine works with: f32, bf16 or f16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Where a model serves, and what only its service knows of it."""

    service: str
    task: str
    """face-detection or face-recognition."""
    max_batch: int
    """Frames per batch, at most."""
    waiting: Callable[[], int] = lambda: 0
    """How many frames wait in memory."""
    embedding_size: int | None = None
    threshold: Callable[[], float | None] = lambda: None
    """The similarity in force."""
    drift: Callable[[str], str | None] = lambda _: None
    """What became of a model's files since they were loaded, by model_id: `ModelStore.drift`."""


class Publisher(Protocol):
    """`mesh.kafka.EventProducer`, used from one thread."""

    def send(self, output: Output) -> None:
        """Queue an event."""

    def flush(self, timeout: timedelta) -> None:
        """Wait for the acknowledgements."""


def beat_until(
    stop: threading.Event, beat: Callable[[], None], warn: Callable[[str], None]
) -> None:
    """Do it every second; blocks.

    Args:
        stop: ends it within a second, or what the broker takes.
        beat: publishes; one that is lost is not made up for.
        warn: told why one was lost.
    """
    while not stop.is_set():
        try:
            beat()
        except TransientError as error:
            warn(str(error))
        stop.wait(INTERVAL_SECONDS)


class ModelHeartbeat:
    """Publishes how a model does; a broker that is away costs heartbeats, nothing else."""

    def __init__(
        self,
        model: LoadedModel | Callable[[], LoadedModel],
        duty: Duty | Callable[[], Duty],
        meter: ModelMeter,
        *,
        instance_id: str,
        producer: Publisher,
        topic: str,
        events_topic: str,
        clock: Clock,
    ) -> None:
        """Take what it reports, and where to; the producer is this heartbeat's own.

        Model and duty may be functions that tell them, for a service that can exchange its model.
        """
        self._instance_id = instance_id
        self._model = model
        self._duty = duty
        self._meter = meter
        self._producer = producer
        self._topic = topic
        self._events_topic = events_topic
        self._clock = clock
        self._state = "loading"
        self._model_id: str | None = None
        """Of the model that the last status was about."""
        self._heard_at: float | None = None
        self._why = ""
        self._drift: str | None = None
        self._told: str | None = None

    def run(self, stop: threading.Event, warn: Callable[[str], None]) -> None:
        """Publish every second until `stop` is set; blocks.

        Args:
            stop: ends it within a second, or what the broker takes.
            warn: told why a heartbeat was lost.
        """
        beat_until(stop, self.beat, warn)

    def beat(self) -> None:
        """Publish one status, and that the model's files changed if they did.

        Raises:
            TransientError: the broker did not acknowledge in time, or the registry is away.
        """
        status = self.status()
        try:
            self._producer.send(Output(self._topic, status.model_id, status))
            self._tell_drift(status)
            self._producer.flush(_PATIENCE)
        except TransientError as error:
            self._why = f": {error}"
            raise
        self._heard_at, self._told = self._clock.monotonic(), self._drift
        self._why = ""

    @property
    def checks(self) -> Mapping[str, Check]:
        """What readiness should depend on."""
        return {"model": self.model_check, "broker": self.broker_check}

    def model_check(self) -> str | None:
        """What keeps the model from working, as of the last status."""
        return None if self._state in {"available", "degraded"} else f"the model is {self._state}"

    def broker_check(self) -> str | None:
        """Whether the broker acknowledged a heartbeat lately, and why it did not."""
        if self._heard_at is None:
            return f"the broker has not answered yet{self._why}"
        age = self._clock.monotonic() - self._heard_at
        silent = f"the broker is silent for {age:.0f} s{self._why}"
        return silent if age > SILENCE_SECONDS else None

    def status(self) -> ModelStatus:
        """What happened since the last status."""
        model = self._model() if callable(self._model) else self._model
        duty = self._duty() if callable(self._duty) else self._duty
        if self._model_id not in {None, model.model_id}:
            self._meter.forget()
        self._model_id = model.model_id
        reading = self._meter.read()
        self._drift = duty.drift(model.model_id)
        drifted = self._drift is not None and reading.state == "available"
        self._state = "degraded" if drifted else reading.state
        return ModelStatus(
            model_id=model.model_id,
            instance_id=self._instance_id,
            service=duty.service,
            task=duty.task,
            name=model.name,
            version=model.version,
            licence=model.licence,
            sha256=model.sha256,
            pack=model.pack,
            device=model.device,
            engine=model.engine,
            state=self._state,
            embedding_size=duty.embedding_size,
            threshold=duty.threshold(),
            aliases=model.aliases,
            utilisation=reading.utilisation,
            queue=duty.waiting(),
            latency_p50_ms=_milliseconds(reading.latency_p50),
            latency_p99_ms=_milliseconds(reading.latency_p99),
            throughput_fps=reading.throughput,
            memory_mb=_resident_mib(),
            max_batch=duty.max_batch,
            heartbeat_at=self._clock.now(),
            path=model.path if isinstance(model, FromFile) else None,
            precision=model.precision if isinstance(model, FromFile) else None,
        )

    def _tell_drift(self, status: ModelStatus) -> None:
        """Publish that files of the model changed, until that was acknowledged once."""
        if self._drift is None or self._drift == self._told:
            return
        event = LogEvent(
            event_id=derived_id("evt", self._instance_id, status.model_id, self._drift),
            event_type=MODEL_DRIFT,
            occurred_at=status.heartbeat_at,
            severity="error",
            service=status.service,
            instance_id=self._instance_id,
            message=f"model {status.model_id}: {self._drift}; what was loaded stays in use",
            attributes={"model_id": status.model_id, "pack": status.pack},
        )
        self._producer.send(Output(self._events_topic, status.model_id, event))


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed.

    Args:
        values: in any order.
        share: above 0, at most 1.
    """
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000.0 * seconds


def _resident_mib() -> float | None:
    """Resident memory of this process, where the system tells it."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE / _MIB
