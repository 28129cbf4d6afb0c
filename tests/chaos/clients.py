"""Clients that push pictures all the time and mean to get each one answered."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
import numpy as np
from tests.e2e.observer import frame_request, jpeg

from mesh.events import INLINE_BYTES
from mesh.identity import new_id

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
TIMEOUT_MS = 6000
_PATIENCE = 300.0
_LONGEST_WAIT = 10.0
_LARGE_SHARE = 0.03
"""Of the pictures that travel as a claim check; a small object store has to keep them all."""
_NOISE = 1080
ANSWERED = ("success", "duplicate")
PASSING = frozenset({429, 503, 504})
"""Statuses after which a client asks again."""
NEEDS_RETRY_AFTER = frozenset({429, 503})


@dataclass(slots=True)
class Asked:
    """One picture and what became of asking.

    Args:
        frame_id: The client's own name of it.
        camera_id: Where it belongs.
        begun: When it was first sent, monotonic.
        ended: When it was answered or given up.
        answers: Every answer, as status and body.
        unreached: How often no gateway answered.
        problems: What was wrong with answers.
    """

    frame_id: str
    camera_id: str
    begun: float
    ended: float | None = None
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    unreached: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def detection_ids(self) -> list[set[str]]:
        """The detections of every successful answer."""
        return [
            {found["detection_id"] for found in body.get("detections", [])}
            for status, body in self.answers
            if status == 200
        ]


class Clients:
    """Several clients, each in a thread, over all gateways in turn.

    Args:
        gateways: Their addresses.
        token: A bearer token.
        pause: Seconds between two pictures of a client.
    """

    def __init__(
        self,
        gateways: Callable[[], Sequence[str]],
        token: str,
        *,
        pause: float,
    ) -> None:
        self._gateways = gateways
        self._headers = {"Authorization": f"Bearer {token}"}
        self._cameras: Sequence[str] = ()
        self._pictures: Sequence[Pixels] = ()
        self._pause = pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.asked: list[Asked] = []

    def start(self, count: int, *, cameras: Sequence[str], pictures: Sequence[Pixels]) -> None:
        """Start so many clients, which push these RGB pictures for these cameras."""
        self._cameras, self._pictures = cameras, pictures
        for number in range(count):
            thread = threading.Thread(
                target=self._live, args=(number,), name=f"client-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End them; what is in hand is finished."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def unanswered(self, before: float) -> list[Asked]:
        """What was asked before a moment and is still in hand."""
        with self._lock:
            return [each for each in self.asked if each.begun < before and each.ended is None]

    def _live(self, number: int) -> None:
        random = Random(number)
        with httpx2.Client(headers=self._headers, timeout=30, trust_env=False) as http:
            while not self._stop.wait(self._pause * random.uniform(0.5, 1.5)):
                asked = Asked(new_id("frame"), random.choice(self._cameras), time.monotonic())
                with self._lock:
                    self.asked.append(asked)
                self.ask(http, asked, _varied(random.choice(self._pictures), random), random)

    def ask(self, http: httpx2.Client, asked: Asked, picture: bytes, random: Random) -> None:
        """Ask until there is an answer that is one; then ask another gateway for the same."""
        body = frame_request(asked.camera_id, picture, frame_id=asked.frame_id)
        body["detection_options"]["processing"]["timeout_ms"] = TIMEOUT_MS
        turn = random.randrange(100)
        while time.monotonic() - asked.begun < _PATIENCE and not self._stop.is_set():
            turn += 1
            wait = self._once(http, asked, body, turn)
            if wait is None:
                if random.random() < 0.3 and asked.answers[-1][0] == 200:
                    self._once(http, asked, body, turn + 1)
                break
            time.sleep(wait)
        else:
            if not self._stop.is_set():
                asked.problems.append(f"not answered within {_PATIENCE:g} s")
        asked.ended = time.monotonic()

    def _once(
        self, http: httpx2.Client, asked: Asked, body: Mapping[str, Any], turn: int
    ) -> float | None:
        """Seconds to wait before the next attempt, or nothing if this was the answer."""
        gateways = self._gateways()
        url = f"{gateways[turn % len(gateways)]}/api/v1/detections/process-frame"
        try:
            answer = http.post(url, json=body)
        except httpx2.HTTPError:
            asked.unreached += 1
            return 0.5
        try:
            told = answer.json()
        except ValueError:
            asked.problems.append(f"{answer.status_code} without JSON: {answer.text[:80]!r}")
            return 0.5
        asked.answers.append((answer.status_code, told))
        asked.problems += problems_of(answer.status_code, answer.headers, told)
        if answer.status_code not in PASSING:
            return None
        return min(_LONGEST_WAIT, float(answer.headers.get("Retry-After", 0.2)))


def _varied(pixels: Pixels, random: Random) -> bytes:
    """A JPEG that no other has the bytes of, so that its faces are stored as new pictures."""
    shifted = np.roll(pixels, random.randrange(8), axis=1).astype(np.int16)
    varied = np.clip(shifted + random.randrange(-20, 20), 0, 255).astype(np.uint8)
    return _large(varied, random) if random.random() < _LARGE_SHARE else jpeg(varied)


def _large(pixels: Pixels, random: Random) -> bytes:
    """The picture in a corner of so much noise that it does not fit into a record."""
    height, width = pixels.shape[:2]
    grains = np.random.default_rng(random.randrange(1 << 32))
    canvas = grains.integers(0, 256, (_NOISE, _NOISE, 3), np.uint8)
    canvas[:height, :width] = pixels
    found = jpeg(canvas, 95)
    assert len(found) > INLINE_BYTES
    return found


def problems_of(status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, beyond what went wrong."""
    found = []
    if status == 200:
        if body.get("status") not in ANSWERED:
            found.append(f"200 with status {body.get('status')!r}")
        return found
    error = body.get("error")
    if body.get("status") != "error" or not isinstance(error, Mapping) or not error.get("code"):
        found.append(f"{status} outside the envelope: {str(body)[:120]}")
    if status in NEEDS_RETRY_AFTER and not headers.get("Retry-After", "").isdigit():
        found.append(f"{status} without Retry-After")
    if status not in PASSING and status != 422:
        found.append(f"{status}: {str(body)[:160]}")
    return found


def summary(asked: Sequence[Asked]) -> dict[str, Any]:
    """Counts for a report."""
    statuses = Counter(
        f"{status} {body.get('error', {}).get('code') or body.get('status')}"
        for each in asked
        for status, body in each.answers
    )
    return {
        "pictures": len(asked),
        "answers": dict(sorted(statuses.items())),
        "unreached": sum(each.unreached for each in asked),
    }


def contradictions(asked: Sequence[Asked]) -> list[str]:
    """Repetitions that were told something else than the first answer."""
    found = []
    for each in asked:
        ids = each.detection_ids
        repeated = [body for status, body in each.answers if status == 200][1:]
        for again, told in zip(ids[1:], repeated, strict=True):
            if told.get("status") == "duplicate" and again != ids[0]:
                found.append(f"{each.frame_id}: {sorted(ids[0])}, repeated {sorted(again)}")
    return found
