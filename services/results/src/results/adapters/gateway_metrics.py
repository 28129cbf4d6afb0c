"""What the gateway measures of its clients and sees of the models; labels are few and fixed."""

from collections.abc import Mapping, MutableMapping
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
"""The route of a request that none fits: its path is the client's word, never a label."""


class GatewayMetrics:
    """Requests by route, clients of the live feed, and clients that push pictures.

    Args:
        registry: The registry of the process; one of its own unless given.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._requests = Counter(
            "sightline_http_requests",
            "Requests that were answered, by route template, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "sightline_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route", "method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._clients = Gauge(
            "sightline_websocket_clients", "Connected clients of the live feed.", registry=registry
        )
        self._sent = Counter(
            "sightline_websocket_messages_sent", "Messages to clients.", registry=registry
        )
        self._dropped = Counter(
            "sightline_websocket_messages_dropped",
            "Events that a slow client never got.",
            registry=registry,
        )
        self._pushing = Gauge(
            "sightline_push_clients", "Clients that push pictures of a camera.", registry=registry
        )
        self._refused = Counter(
            "sightline_push_clients_refused",
            "Clients that may not push because there are too many.",
            registry=registry,
        )
        self._models = Gauge(
            "sightline_model_processes",
            "Processes that have a model, by its state in them.",
            ["task", "model", "state"],
            registry=registry,
        )
        self._shown: set[tuple[str, str, str]] = set()

    def models(self, counted: Mapping[tuple[str, str, str], int]) -> None:
        """So many processes have a model in a state, by task, model and state."""
        for labels in self._shown - counted.keys():
            self._models.remove(*labels)
        for labels, processes in counted.items():
            self._models.labels(*labels).set(processes)
        self._shown = set(counted)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route, known).observe(seconds)

    def clients(self, count: int) -> None:
        """So many clients are connected."""
        self._clients.set(count)

    def pushing(self, count: int) -> None:
        """So many clients push pictures."""
        self._pushing.set(count)

    def push_refused(self) -> None:
        """There are too many clients that push for one more."""
        self._refused.inc()

    def sent(self) -> None:
        """A client has taken a message."""
        self._sent.inc()

    def dropped(self) -> None:
        """A client was too slow for an event."""
        self._dropped.inc()


class MeasuredRequests:
    """Times every request from outside of all other layers."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; one that ends in an exception counts as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = monotonic() - started
            self._metrics.answered(_route(scope), scope["method"], status, seconds)


def _route(scope: MutableMapping[str, Any]) -> str:
    template: str | None = getattr(scope.get("route"), "path", None)
    return template or UNMATCHED
