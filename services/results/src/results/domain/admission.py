"""Who is let in when there is more than can be done (specification, 6.4; design, section 6)."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mesh.events import ModelStatus, Priority
from results.domain.errors import ApiError
from results.domain.models import DETECTION, RECOGNITION, heard, is_available

PRIORITY_FIELD = "detection_options.processing.priority"
_LONGEST_WAIT = 60
_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """Limits of what is let in."""

    max_utilisation: float = 0.9
    """Above it on every engine of a stage, pictures of low priority are refused."""
    max_queue: int = 1000
    """With more pictures waiting only urgent ones are let in."""
    urgent_per_second: float = 20.0
    """Urgent pictures of one client and camera, on average."""
    urgent_burst: int = 40
    """And at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy the pipeline is."""

    utilisation: Mapping[str, float] = field(default_factory=dict)
    """Of each stage's least busy engine, 0 to 1."""
    queue: int = 0
    """Pictures that wait for their first stage."""
    capacity: float | None = None
    """Frames per second that the slowest stage can do; unknown without a heartbeat."""
    latency_ms: float = 0.0
    """Milliseconds in all engines, one frame after the other."""

    @property
    def busiest(self) -> tuple[str, float] | None:
        """The stage whose least busy engine is the busiest, and how busy that one is."""
        return max(self.utilisation.items(), key=lambda item: item[1], default=None)

    def estimate_ms(self, position: int) -> int:
        """How long a picture at this place of the queue takes, about, in milliseconds."""
        waiting = 1000.0 * position / self.capacity if self.capacity else 0.0
        return round(waiting + self.latency_ms)


def load_of(statuses: Iterable[ModelStatus], now: datetime, *, backlog: int = 0) -> Load:
    """The load that the engines' heartbeats tell of.

    Args:
        statuses: The last heartbeat of every model in every process; old ones are left out.
        now: The present, UTC.
        backlog: Pushed pictures that wait in the broker.
    """
    stages: dict[str, dict[str, list[ModelStatus]]] = {}
    for status in heard(statuses, now):
        if is_available(status, now):
            processes = stages.setdefault(status.service, {})
            processes.setdefault(status.instance_id, []).append(status)
    loads = {name: [_process(models) for models in each.values()] for name, each in stages.items()}
    capacities = [sum(one.frames_per_second for one in each) for each in loads.values()]
    queues = [sum(one.queue for one in each) for each in loads.values()]
    return Load(
        utilisation={name: min(one.utilisation for one in each) for name, each in loads.items()},
        queue=max([backlog, *queues]),
        capacity=min((known for known in capacities if known), default=None),
        latency_ms=sum(max(one.latency_ms for one in each) for each in loads.values()),
    )


@dataclass(frozen=True, slots=True)
class _Process:
    utilisation: float
    queue: int
    latency_ms: float

    @property
    def frames_per_second(self) -> float:
        return 1000.0 / self.latency_ms if self.latency_ms else 0.0


def _process(models: Sequence[ModelStatus]) -> _Process:
    """What the heartbeats of one process amount to: its models take turns at one queue.

    How long a frame takes is the busiest face model's word: other tasks concern some frames only,
    and a model that stands by has nothing to say.
    """
    faces = [each for each in models if each.task in (DETECTION, RECOGNITION)]
    busiest = max(faces, key=lambda each: each.throughput_fps or 0.0, default=None)
    utilisation: dict[str, float] = {}
    for each in models:
        utilisation[each.task] = max(each.utilisation, utilisation.get(each.task, 0.0))
    return _Process(
        utilisation=min(1.0, sum(utilisation.values())),
        queue=max(each.queue for each in models),
        latency_ms=(busiest.latency_p50_ms or 0.0) if busiest else 0.0,
    )


def check_admission(priority: Priority, load: Load, policy: AdmissionPolicy) -> None:
    """Refuse what would only make the rest late: the low first, then all but the urgent.

    Raises:
        ApiError: 429 `OVERLOADED`, with `Retry-After`.
    """
    if priority is Priority.URGENT:
        return
    if load.queue > policy.max_queue:
        message = f"{load.queue} pictures are waiting; only urgent ones are let in"
        raise _overloaded(message, policy.max_queue, load.queue, "queue", _drained(load, policy))
    busiest = load.busiest
    if priority is Priority.LOW and busiest and busiest[1] > policy.max_utilisation:
        message = f"every engine of {busiest[0]} is busy; pictures of low priority are refused"
        raise _overloaded(message, policy.max_utilisation, round(busiest[1], 3), busiest[0], 1)


def _drained(load: Load, policy: AdmissionPolicy) -> int:
    if not load.capacity:
        return 1
    return math.ceil((load.queue - policy.max_queue) / load.capacity)


def _overloaded(
    message: str, limit: float, value: float, resource: str, retry_after: int
) -> ApiError:
    return ApiError(
        429,
        "OVERLOADED",
        message,
        field=PRIORITY_FIELD,
        limit=limit,
        details={"value": value, "resource": resource},
        headers={"Retry-After": str(min(max(retry_after, 1), _LONGEST_WAIT))},
    )


class UrgentLimit:
    """A token bucket per client and camera; not safe for threads by itself."""

    def __init__(self, policy: AdmissionPolicy, monotonic: Callable[[], float]) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def check(self, client: str, camera_id: str) -> None:
        """Take a token.

        Raises:
            ApiError: There is none: 429 `RATE_LIMITED`, with `Retry-After`.
        """
        rate, burst = self._policy.urgent_per_second, float(self._policy.urgent_burst)
        now = self._monotonic()
        tokens, at = self._buckets.pop((client, camera_id), (burst, now))
        tokens = min(burst, tokens + (now - at) * rate)
        allowed = tokens >= 1.0
        self._buckets[client, camera_id] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            message = f"more than {rate:g} urgent pictures a second of one client and camera"
            raise ApiError(
                429,
                "RATE_LIMITED",
                message,
                field=PRIORITY_FIELD,
                limit=rate,
                headers={"Retry-After": str(max(1, math.ceil((1.0 - tokens) / rate)))},
            )
