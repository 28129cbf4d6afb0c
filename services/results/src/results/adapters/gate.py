"""What a pushed picture passes before it enters the mesh: admission and the circuit breaker."""

import math
import threading
from collections.abc import Callable
from typing import Any, Protocol

from mesh.events import Answer, Priority
from results.domain.admission import AdmissionPolicy, Load, UrgentLimit, check_admission
from results.domain.breaker import BreakerPolicy, Circuit, CircuitBreaker, Verdict
from results.domain.errors import ApiError, unavailable
from results.domain.frames import Push

_IN_GOOD_ORDER = frozenset({"OVERLOADED", "DEADLINE_EXCEEDED"})
"""Given up on purpose: that says nothing of whether the engines work."""
_CLIENTS_FAULT = frozenset({"FRAME_UNREADABLE"})


class GateMetrics(Protocol):
    """What the gate tells of itself."""

    def refused(self, code: str) -> None:
        """A picture was not let in."""

    def circuit(self, state: Circuit) -> None:
        """Whether requests go through."""


class Gate:
    """Lets pictures in, or refuses them with the time after which to try again."""

    def __init__(
        self,
        *,
        load: Callable[[], Load],
        monotonic: Callable[[], float],
        metrics: GateMetrics,
        admission: AdmissionPolicy | None = None,
        breaker: BreakerPolicy | None = None,
    ) -> None:
        self._policy = admission or AdmissionPolicy()
        self._load = load
        self._metrics = metrics
        self._lock = threading.Lock()
        self._urgent = UrgentLimit(self._policy, monotonic)
        self._breaker = CircuitBreaker(breaker or BreakerPolicy(), monotonic)

    @property
    def load(self) -> Load:
        """How busy the pipeline is."""
        return self._load()

    def admit(self, push: Push, client: str) -> None:
        """Let a picture in as far as there is room for it.

        Raises:
            ApiError: 429; there is none. 503; the circuit is open and the picture not urgent.
        """
        urgent = push.priority is Priority.URGENT
        with self._lock:
            open_for = None if urgent else self._breaker.open_for
        if open_for is not None:
            raise self._left_alone(open_for)
        try:
            if urgent:
                with self._lock:
                    self._urgent.check(client, push.origin.camera_id)
            else:
                check_admission(push.priority, self._load(), self._policy)
        except ApiError as error:
            self._metrics.refused(error.code)
            raise

    def enter(self, push: Push) -> None:
        """Pass the circuit breaker, urgent pictures always; right before they are published.

        Raises:
            ApiError: 503; the pipeline failed too often to be tried now.
        """
        request, urgent = push.request, push.priority is Priority.URGENT
        with self._lock:
            wait = self._breaker.permit(
                request.request_id, request.timeout_ms / 1000, urgent=urgent
            )
        if wait is not None:
            raise self._left_alone(wait)

    def answered(self, answer: Answer) -> None:
        """The mesh answered a request, of this gateway or of another; from any thread."""
        self._ended(answer.request_id, _verdict(answer))

    def failed(self, request_id: str) -> None:
        """The mesh did not even take the request."""
        self._ended(request_id, Verdict.FAILURE)

    def watch(self) -> Circuit:
        """The circuit's state, as it is told to metrics too; call it now and then."""
        with self._lock:
            state = self._breaker.state
        self._metrics.circuit(state)
        return state

    def render(self) -> dict[str, Any]:
        """The circuit for people."""
        return {"state": str(self.watch()), "opened": self._breaker.opened}

    def _left_alone(self, seconds: float) -> ApiError:
        self._metrics.refused("CIRCUIT_OPEN")
        message = "the pipeline failed several times in a row and is left alone for a while"
        retry_after = max(1, math.ceil(seconds))
        return unavailable("CIRCUIT_OPEN", message, retry_after=retry_after, dependency="pipeline")

    def _ended(self, request_id: str, verdict: Verdict) -> None:
        with self._lock:
            self._breaker.ended(request_id, verdict)


def _verdict(answer: Answer) -> Verdict:
    if answer.status != "error" or answer.code in _CLIENTS_FAULT:
        return Verdict.SUCCESS
    return Verdict.UNKNOWN if answer.code in _IN_GOOD_ORDER else Verdict.FAILURE
