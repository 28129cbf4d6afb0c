"""Clients that push pictures and wait for the answer, while the mesh is under load."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from bench.site import Site, now
from mesh.identity import new_id

_TIMEOUT_MS = 20_000


@dataclass
class Pushes:
    """What became of the pushed pictures of one priority."""

    answered_ms: list[float] = field(default_factory=list)
    """Round trips that ended in a result, milliseconds."""
    refused: int = 0
    """Answers 429."""
    failed: list[str] = field(default_factory=list)
    """Any other answer, by its code."""


@contextmanager
def pushing(
    site: Site, camera_id: str, picture: bytes, *, priority: str, every: float
) -> Iterator[Pushes]:
    """One client pushes a picture so often, seconds, one at a time, until the block ends."""
    found, stop = Pushes(), threading.Event()
    thread = threading.Thread(
        target=_push, args=(site, _body(camera_id, picture, priority), every, found, stop)
    )
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _push(
    site: Site, body: dict[str, Any], every: float, found: Pushes, stop: threading.Event
) -> None:
    headers = {"Authorization": f"Bearer {site.token}"}
    url = f"{site.installation.url}/api/v1/detections/process-frame"
    with httpx2.Client(headers=headers, timeout=30, trust_env=False) as http:
        while not stop.is_set():
            at = now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            began = time.monotonic()
            answer = http.post(url, json=body | {"frame_id": new_id("frame"), "timestamp": at})
            elapsed = time.monotonic() - began
            if answer.is_success:
                found.answered_ms.append(1000 * elapsed)
            elif answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
                found.refused += 1
            else:
                found.failed.append(f"{answer.status_code} {answer.text[:120]}")
            stop.wait(max(0.0, every - elapsed))


def _body(camera_id: str, picture: bytes, priority: str) -> dict[str, Any]:
    return {
        "camera_id": camera_id,
        "stream_type": "RTSP",
        "frame_data": base64.b64encode(picture).decode(),
        "frame_metadata": {"format": "jpeg"},
        "detection_options": {
            "model_type": "face-recognition",
            "processing": {"priority": priority, "timeout_ms": _TIMEOUT_MS, "async": False},
        },
    }
