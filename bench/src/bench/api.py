"""The API: answers from the live cache, and from a database with millions of detections."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bench.figures import percentiles, say, table
from bench.material import Material
from bench.site import Site, folder, now, plan, running
from bench.stored import CAMERAS, DAYS, PERSONS, an_id, detection_id, fill
from mesh.identity import frame_key
from mesh.stage import Output
from mesh.testing import a_frame_header, a_frame_result

_ALONE = dict.fromkeys(("camera", "detection", "recognition", "aggregator", "writer", "keeper"), 0)
_CACHED_MS, _STORED_MS = 100.0, 500.0
_LIVE = "live (cached)"
_CACHE_WITHIN = 20.0

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much."""

    rows: int = 5_000_000
    """Detections in the database."""
    requests: int = 60
    """Of each kind."""


def measure(where: Material, options: Options) -> dict[str, Any]:
    """Fill the database of an installation that is only a gateway, and ask it."""
    with folder() as layout, running(plan(layout, where, instances=_ALONE)) as site:
        say(f"storing {options.rows:,} detections")
        began = time.monotonic()
        fill(site.installation.database, options.rows)
        filled = time.monotonic() - began
        found = {
            name: _ask(site, path, make, options.requests)
            for name, (path, make) in _queries(options.rows).items()
        }
        with _live_camera(site, where) as camera_id:
            found[_LIVE] = _ask(
                site, "/detections/live", lambda _: {"camera_id": camera_id}, options.requests
            )
    report = {
        "rows": options.rows,
        "fill_s": round(filled, 1),
        "latency_ms": found,
        "goals": {
            "cached p95 < 100 ms": found[_LIVE]["p95"] < _CACHED_MS,
            "stored p95 < 500 ms": all(
                figures["p95"] < _STORED_MS for name, figures in found.items() if name != _LIVE
            ),
        },
    }
    _tell(report)
    return report


def _queries(rows: int) -> dict[str, tuple[str, Callable[[random.Random], Parameters]]]:
    """By name: a path, and what makes the parameters of a request."""

    def camera(chance: random.Random) -> Parameters:
        return {"camera_id": an_id("cam", chance.randrange(CAMERAS))}

    def person(chance: random.Random) -> Parameters:
        return {"person_id": an_id("per", chance.randrange(PERSONS))}

    def window(chance: random.Random, hours: float) -> Parameters:
        start = now() - timedelta(days=chance.uniform(1, DAYS - 1))
        end = start + timedelta(hours=hours)
        return {"start_time": start.isoformat(), "end_time": end.isoformat()}

    def one(chance: random.Random) -> Parameters:
        return {"id": detection_id(chance.randrange(rows))}

    path = "/detections"
    return {
        "newest": (path, lambda _: {}),
        "camera": (path, camera),
        "camera, an hour": (path, lambda chance: camera(chance) | window(chance, 1)),
        "a day, page of 100": (path, lambda chance: window(chance, 24) | {"page_size": 100}),
        "person": (path, person),
        "person, a week": (path, lambda chance: person(chance) | window(chance, 168)),
        "person at a camera": (path, lambda chance: person(chance) | camera(chance)),
        "confidence >= 0.99": (path, lambda _: {"min_confidence": 0.99}),
        "camera, confidence >= 0.999": (
            path, lambda chance: camera(chance) | {"min_confidence": 0.999},
        ),
        "camera, page 100": (path, lambda chance: camera(chance) | {"page": 100}),
        "newest, page 1,000": (path, lambda _: {"page": 1000}),
        "one detection": (f"{path}/{{}}", one),
        "statistics of an hour": (f"{path}/statistics", lambda _: {"period": "1h"}),
        "statistics of a week": (f"{path}/statistics", lambda _: {"period": "7d"}),
    }  # fmt: skip


def _ask(
    site: Site, path: str, make: Callable[[random.Random], Parameters], requests: int
) -> dict[str, float]:
    """Milliseconds of one request after the other, each with parameters of its own."""
    chance = random.Random(7)  # noqa: S311 -- data, not secrets
    spent = []
    for _ in range(requests):
        parameters = make(chance)
        where = path.format(parameters.pop("id", ""))
        began = time.monotonic()
        answer = site.http.get(where, params=parameters)
        spent.append(1000 * (time.monotonic() - began))
        answer.raise_for_status()
    return percentiles(spent)


@contextmanager
def _live_camera(site: Site, where: Material) -> Iterator[str]:
    """A registered camera whose results arrive five times a second."""
    camera_id = site.add_camera("Live", where.clip, 5.0)
    stop = threading.Event()
    thread = threading.Thread(target=_publish, args=(site, camera_id, stop))
    thread.start()
    try:
        site.eventually(lambda: _is_cached(site, camera_id), within=_CACHE_WITHIN)
        yield camera_id
    finally:
        stop.set()
        thread.join()


def _publish(site: Site, camera_id: str, stop: threading.Event) -> None:
    header = a_frame_header(camera_id=camera_id)
    for number in range(1_000_000):
        key = frame_key(camera_id, header.epoch, number)
        frame = replace(header, sequence_number=number, frame_key=key)
        event = replace(a_frame_result(), frame=frame)
        site.producer.send(Output(site.topics("results"), camera_id, event))
        site.producer.flush()
        if stop.wait(0.2):
            return


def _is_cached(site: Site, camera_id: str) -> bool:
    answer = site.http.get("/detections/live", params={"camera_id": camera_id})
    return answer.is_success and answer.json()["frame"] is not None


def _tell(report: Mapping[str, Any]) -> None:
    rows = [
        (name, figures["p50"], figures["p95"], figures["max"])
        for name, figures in report["latency_ms"].items()
    ]
    say(f"{report['rows']:,} detections stored in {report['fill_s']} s\n")
    say(table(("request", "p50 ms", "p95 ms", "max ms"), rows))
    for goal, holds in report["goals"].items():
        say(f"{'holds ' if holds else 'MISSED'}  {goal}")
