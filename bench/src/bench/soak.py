"""Detector and embedder of the default pack at saturation for long, and whether memory grows."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import cv2
import numpy as np
import psutil  # type: ignore[import-untyped]  # ships no types

from bench.contenders import DEFAULT, DETECTOR, a_detector, an_embedder
from bench.figures import grown, say
from bench.material import Material
from bench.pathway import Seen, faces_of
from detection.adapters.jpeg import decode_picture
from detection.domain.chip import GRADES
from mesh.models import ModelStore

CORES = 2
_SPREAD = 8
"""Every so many frames of the clip one is taken."""
_LOOKS = 60
"""Samples of memory."""
_GROWTH_MB = 10.0
"""An hour, in the second half: less cannot be told from noise in half an hour."""

Points = Sequence[tuple[float, float]]


def soak(store: ModelStore, where: Material, minutes: float) -> dict[str, Any]:
    """One loop per core from JPEG to embeddings, as fast as they go.

    Args:
        store: that has the models.
        where: that has the clip; each picture is taken in two sizes.
        minutes: how long.
    """
    say(f"soak: {minutes:g} minutes of {DETECTOR} and {DEFAULT}, {CORES} loops in one process")
    encoded = _pictures(where)
    counters = [[0] for _ in range(CORES)]
    stop = threading.Event()
    with ExitStack() as stack:
        for counter in counters:
            thread = threading.Thread(target=_loop, args=(store, encoded, counter, stop))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        points = watch(minutes, lambda: psutil.Process().memory_info().rss / 1e6)
    return judged(points) | {"frames": sum(count for (count,) in counters), "minutes": minutes}


def watch(
    minutes: float,
    read: Callable[[], float],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[tuple[float, float]]:
    """What `read` told at minutes since the beginning."""
    points, began = [], clock()
    while (at := (clock() - began) / 60.0) < minutes:
        points.append((at, read()))
        sleep(60.0 * minutes / _LOOKS)
    return points


def judged(points: Points) -> dict[str, Any]:
    """Memory over time, and whether it grows.

    Args:
        points: minute and megabytes.
    """
    found = grown(points)
    return {**found, "grows": found["mb_per_hour"] > _GROWTH_MB}


def _pictures(where: Material) -> list[bytes]:
    found = []
    for data in where.pictures()[::_SPREAD]:
        picture = decode_picture(data)
        _, small = cv2.imencode(".jpg", cv2.resize(picture, None, fx=0.75, fy=0.5))
        found += [data, np.asarray(small).tobytes()]
    return found


def _loop(
    store: ModelStore, encoded: Sequence[bytes], counter: list[int], stop: threading.Event
) -> None:
    """Work until `stop` is set; every loop has models of its own, as a process would."""
    detector = a_detector(DETECTOR, store)
    embedder = an_embedder(DEFAULT, store)
    for data in cycle(encoded):
        if stop.is_set():
            return
        picture = decode_picture(data)
        faces = faces_of(detector, picture)
        embedder.embed([Seen(picture, face).chip(GRADES[0]) for face in faces])
        counter[0] += 1
