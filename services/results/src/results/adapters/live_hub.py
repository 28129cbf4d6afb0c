"""Fan-out of live events to WebSocket clients; a slow client loses events, nobody waits for it."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mesh.events import FrameResult, Sighting
from results.adapters.gateway_metrics import GatewayMetrics
from results.domain.filters import (
    CAMERAS,
    DETECTIONS,
    EVERY_CAMERA,
    SIGHTINGS,
    EventType,
    Filters,
    filtered,
)

QUEUE = 64
"""Events that wait for one client; the oldest are dropped."""


class Delivery:
    """Tells once that a frame's event has reached the first of its clients."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def done(self) -> None:
        """A client has the event."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()


class Client:
    """One connection: its subscriptions and the events that wait to be sent to it."""

    def __init__(self, client_id: str, metrics: GatewayMetrics | None = None) -> None:
        self.client_id = client_id
        self.subscriptions: dict[str, Filters] = {}
        self.pictures: set[str] = set()
        self._metrics = metrics or GatewayMetrics()
        self._queue: deque[tuple[str, Delivery | None]] = deque()
        self._sending: Delivery | None = None
        self._dropped = 0
        self._wake = asyncio.Event()

    def filters(self, camera_id: str) -> Filters | None:
        """What the client wants of a camera; `None` if nothing."""
        found = self.subscriptions.get(camera_id)
        return self.subscriptions.get(EVERY_CAMERA) if found is None else found

    def wants(self, camera_id: str, event_type: EventType) -> bool:
        """Whether the client wants events of a type from a camera."""
        filters = self.filters(camera_id)
        return filters is not None and filters.wants(event_type)

    def offer(self, text: str, delivery: Delivery | None = None) -> None:
        """Queue a message; never blocks."""
        if len(self._queue) >= QUEUE:
            self._queue.popleft()
            self._dropped += 1
            self._metrics.dropped()
        self._queue.append((text, delivery))
        self._wake.set()

    async def next(self) -> str:
        """The next message, as soon as there is one."""
        while not self._queue:
            self._wake.clear()
            await self._wake.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return json.dumps({"type": "dropped", "count": count})
        text, self._sending = self._queue.popleft()
        return text

    def sent(self) -> None:
        """The socket has taken the last message."""
        self._metrics.sent()
        delivery, self._sending = self._sending, None
        if delivery is not None:
            delivery.done()


class Hub:
    """The connected clients; all methods but `wants` run in the event loop."""

    def __init__(self, metrics: GatewayMetrics | None = None) -> None:
        self._clients: set[Client] = set()
        self._metrics = metrics or GatewayMetrics()

    def join(self, client: Client) -> None:
        """Send this client what it subscribes to."""
        self._clients.add(client)
        self._metrics.clients(len(self._clients))

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)
        self._metrics.clients(len(self._clients))

    def wants(self, camera_id: str, event_type: EventType) -> bool:
        """Whether any client wants events of a type; from any thread."""
        return any(client.wants(camera_id, event_type) for client in tuple(self._clients))

    def subscribers(self, camera_id: str) -> list[str]:
        """Who watches a camera through this gateway."""
        return sorted({c.client_id for c in self._clients if c.wants(camera_id, DETECTIONS)})

    def watched_pictures(self) -> set[str]:
        """Cameras whose pictures some client asked for."""
        return set().union(*(client.pictures for client in self._clients))

    def detections(
        self, result: FrameResult, event: Mapping[str, Any], delivery: Delivery | None = None
    ) -> None:
        """Send a frame's result to everybody who wants it."""
        camera_id = result.frame.camera_id
        self._send(camera_id, DETECTIONS, lambda filters: filtered(event, filters), delivery)

    def sighting(self, sighting: Sighting, event: Mapping[str, Any]) -> None:
        """Send a sighting to everybody who wants it."""
        self._send(
            sighting.camera_id,
            SIGHTINGS,
            lambda filters: dict(event) if filters.passes_sighting(sighting) else None,
        )

    def camera(self, camera_id: str, event: Mapping[str, Any]) -> None:
        """Send a camera's status to everybody who watches it."""
        self._send(camera_id, CAMERAS, lambda _: dict(event))

    def _send(
        self,
        camera_id: str,
        event_type: EventType,
        view: Callable[[Filters], dict[str, Any] | None],
        delivery: Delivery | None = None,
    ) -> None:
        texts: dict[Filters, str | None] = {}
        for client in self._clients:
            filters = client.filters(camera_id)
            if filters is None or not filters.wants(event_type):
                continue
            if filters not in texts:
                wanted = view(filters)
                texts[filters] = None if wanted is None else json.dumps(wanted)
            text = texts[filters]
            if text is not None:
                client.offer(text, delivery)
