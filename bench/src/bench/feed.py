"""A WebSocket client of the live feed that notes when each frame's result arrived."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bench.site import Site

_OPEN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame's result as a client saw it."""

    camera_id: str
    outcome: str
    received_at: datetime
    """When the camera's frame was received, UTC."""
    arrived_at: datetime
    """When the client had the message, UTC."""
    faces: int

    @property
    def latency_ms(self) -> float:
        """From the camera to the client, milliseconds."""
        return (self.arrived_at - self.received_at).total_seconds() * 1000.0


@dataclass
class Feed:
    """Follows every camera of a site; a context manager."""

    site: Site
    dropped: int = 0
    """Messages that the gateway gave up because this client was slow."""
    _seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def seen(self) -> dict[str, Seen]:
        """What was seen until now, by frame_key; a copy, for more comes all the time."""
        return dict(self._seen)

    def __enter__(self) -> Self:
        """Connects and subscribes."""
        url = self.site.installation.url.replace("http", "ws", 1)
        self._connection: ClientConnection = connect(
            f"{url}/api/v1/detections/ws/bench",
            subprotocols=["bearer", self.site.token],  # type: ignore[list-item]  # a NewType of str
            open_timeout=_OPEN_SECONDS,
            compression=None,
            proxy=None,
        )
        self._connection.send(json.dumps({"type": "subscribe", "camera_id": "*"}))
        while json.loads(self._connection.recv(_OPEN_SECONDS))["type"] != "subscribed":
            pass
        self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnects."""
        self._connection.close()
        self._thread.join(5)

    def await_cameras(self, cameras: Sequence[str], within: float) -> bool:
        """Whether a frame of each of these cameras has come in time, seconds."""
        return self.site.eventually(
            lambda: {seen.camera_id for seen in self.seen.values()} >= set(cameras), within=within
        )

    def await_frames(self, keys: set[str], within: float) -> float:
        """Waits for these frames; the monotonic time of the last arrival.

        Ends early when nothing has come for ten seconds.
        """
        last, known = time.monotonic(), -1
        end = last + within
        while time.monotonic() < end:
            count = len(keys & self._seen.keys())
            if count != known:
                last, known = time.monotonic(), count
            if count == len(keys) or time.monotonic() - last > 10:
                break
            time.sleep(0.02)
        return last

    def take(self, message: Mapping[str, Any]) -> None:
        """Notes a message that has just come."""
        arrived = datetime.now(UTC)
        if message["type"] == "dropped":
            self.dropped += int(message["count"])
        if message["type"] != "detection_event":
            return
        data = message["data"]
        self._seen[data["frame_key"]] = Seen(
            camera_id=data["camera_id"],
            outcome=data["outcome"],
            received_at=datetime.fromisoformat(data["received_at"]),
            arrived_at=arrived,
            faces=len(data["detections"]),
        )

    def _follow(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                text = self._connection.recv()
                self.take(json.loads(text))
