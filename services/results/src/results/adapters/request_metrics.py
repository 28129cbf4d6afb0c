"""What the request path measures, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from results.domain.breaker import Circuit

_STATES = (Circuit.CLOSED, Circuit.HALF_OPEN, Circuit.OPEN)


class RequestMetrics:
    """Refusals, the circuit, jobs and callbacks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "sightline_requests_refused",
            "Pushed pictures that were not let in, by error code.",
            ["code"],
            registry=registry,
        )
        self._circuit = Gauge(
            "sightline_circuit_state",
            "The circuit breaker of the pipeline: 0 closed, 1 half open, 2 open.",
            registry=registry,
        )
        self._queue = Gauge(
            "sightline_admission_queue",
            "Pushed pictures that wait for their first stage, as admission sees them.",
            registry=registry,
        )

    def refused(self, code: str) -> None:
        """A picture was not let in."""
        self._refused.labels(code).inc()

    def circuit(self, state: Circuit) -> None:
        """Whether requests go through."""
        self._circuit.set(_STATES.index(state))

    def queue(self, waiting: int) -> None:
        """So many pictures wait."""
        self._queue.set(waiting)


class JobMetrics:
    """What becomes of jobs and callbacks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._overdue = Counter(
            "sightline_jobs_overdue", "Jobs that nobody answered in time.", registry=registry
        )
        self._callbacks = Counter(
            "sightline_callbacks",
            "Attempts at callbacks, by outcome: delivered, retried or failed.",
            ["outcome"],
            registry=registry,
        )

    def overdue(self, count: int) -> None:
        """Jobs failed because nobody answered."""
        self._overdue.inc(count)

    def callback(self, outcome: str) -> None:
        """A callback was tried."""
        self._callbacks.labels(outcome).inc()
