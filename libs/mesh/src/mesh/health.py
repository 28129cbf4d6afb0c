"""Health of one process: alive while it polls, ready while everything it needs answers."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from typing_extensions import override

from mesh.clock import Clock, SystemClock

Check = Callable[[], str | None]
"""Returns what is wrong, or nothing; must answer within a fraction of a second."""


class Heartbeat:
    """The age of a loop's last turn; thread-safe."""

    def __init__(self, clock: Clock, limit_seconds: float = 60.0) -> None:
        self._clock = clock
        self._limit = limit_seconds
        self._last = clock.monotonic()

    def beat(self) -> None:
        """The loop turned."""
        self._last = self._clock.monotonic()

    def check(self) -> str | None:
        """What is wrong: the loop has not turned for longer than the limit."""
        age = self._clock.monotonic() - self._last
        return f"no turn for {age:.0f} s, limit {self._limit:.0f} s" if age > self._limit else None


@dataclass(slots=True)
class Health:
    """The checks of one process by name; other threads may add to it."""

    live: dict[str, Check] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)
    partial: dict[str, Check] = field(default_factory=dict)
    """What part of the work goes on without: told by readiness, which it does not fail. All
    replicas share what is looked at here, so to fail would take every one of them away."""

    def heartbeat(
        self, name: str, limit_seconds: float = 60.0, clock: Clock | None = None
    ) -> Heartbeat:
        """A heartbeat that liveness depends on from now on."""
        heartbeat = Heartbeat(clock or SystemClock(), limit_seconds)
        self.live[name] = heartbeat.check
        return heartbeat

    def liveness(self) -> Mapping[str, str]:
        """What is wrong with the process itself, by check; empty if it is alive."""
        return _problems(self.live)

    def readiness(self) -> Mapping[str, str]:
        """What is missing before work can be taken, by check; empty if ready.

        A process that has not set up its checks yet is still starting.
        """
        if not self.ready:
            return {"start": "the checks are not set up yet"}
        return _problems(self.live) | _problems(self.ready)

    def degradation(self) -> Mapping[str, str]:
        """What does not work although work is taken, by check."""
        return _problems(self.partial)


def _problems(checks: Mapping[str, Check]) -> dict[str, str]:
    found = {name: check() for name, check in list(checks.items())}
    return {name: problem for name, problem in found.items() if problem}


class HealthServer:
    """Serves `/live`, `/ready` and `/metrics` in a thread of its own."""

    def __init__(
        self, health: Health, registry: CollectorRegistry, *, host: str, port: int
    ) -> None:
        handler = type("Handler", (_Handler,), {"health": health, "registry": registry})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    health: Health
    registry: CollectorRegistry

    def do_GET(self) -> None:
        """Answer a probe or a scrape."""
        if self.path == "/live":
            self._report(self.health.liveness(), len(self.health.live), {})
        elif self.path == "/ready":
            health = self.health
            checks = len(health.live) + len(health.ready) + len(health.partial)
            self._report(health.readiness(), checks, health.degradation())
        elif self.path == "/metrics":
            self._send(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"/live, /ready or /metrics\n")

    def _report(
        self, problems: Mapping[str, str], checks: int, degraded: Mapping[str, str]
    ) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        fine = "degraded" if degraded else "ok"
        body = {
            "status": "unavailable" if problems else fine,
            "checks": checks,
            **({"problems": problems} if problems else {}),
            **({"degraded": degraded} if degraded else {}),
        }
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Probes are no news."""
