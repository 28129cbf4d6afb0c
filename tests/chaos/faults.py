"""How each fault is done to an installation, and undone."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from tests.chaos.clients import NEEDS_RETRY_AFTER
from tests.chaos.schedule import STAGES, Fault, Kind, service_of
from tests.chaos.site import Site
from tests.e2e.observer import Mesh, frame_request

from mesh.events import Lane
from mesh.identity import new_epoch
from mesh.stage import Output
from mesh.testing import a_frame_captured, a_frame_header

INPUT = {
    "detection": "frames.live",
    "recognition": "detections",
    "aggregator": "recognitions",
    "writer": "results",
}
"""Where each stage's undecodable records are put."""
_BROKER = dict.fromkeys(STAGES, "broker") | {"camera": "kafka"}
NAMED: Mapping[Kind, Mapping[str, str]] = {
    Kind.BROKER_AWAY: _BROKER | dict.fromkeys(("keeper", "gateway"), "broker"),
    Kind.BROKER_AWAY_AT_START: _BROKER,
    Kind.REGISTRY_AWAY: dict.fromkeys(("camera", "detection", "recognition"), "registry"),
    Kind.DATABASE_AWAY: {"gateway": "database", "writer": "database", "recognition": "gallery"},
    Kind.OBJECTS_AWAY: {"writer": "object store"},
    Kind.OBJECTS_FULL: {"writer": "object store"},
}
"""The word by which the readiness of which service names what is away, in a check or its text.

Where only one service is hit, only that one: others need a registry for schemas that are new to
them, and a stage whose partitions are still elsewhere needs nothing.
"""
LONG_ENOUGH = {Kind.BROKER_AWAY: 25.0}
"""When everybody has missed what is away, in seconds, where that is not soon."""
_SOON = 8.0
_NOTICING = 60.0
"""What is away stays away for so much longer, until everybody has named it who must."""
_DYING = 240.0
_HANGING = 240.0


@dataclass(slots=True)
class Done:
    """What a fault left to be checked.

    Args:
        letters: Where records are that must be dead letters: topic, partition, offset.
        said: Problems that readiness reported, by process and check.
        problems: What went wrong at once.
    """

    letters: set[tuple[str, int, int]] = field(default_factory=set)
    said: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """What faults are done with.

    Args:
        site: The installation.
        mesh: The same from outside.
        deadly: A picture that ends the process whose engine reads it.
        hanging: Pictures on which an engine hangs.
        camera_id: Where such pictures are pushed to.
    """

    site: Site
    mesh: Mesh
    deadly: bytes
    hanging: tuple[bytes, ...]
    camera_id: str


def inflict(bench: Bench, fault: Fault, done: Done) -> None:
    """Do it, wait as long as it lasts, and undo it; `done` takes what is to be checked."""
    with _watched(bench.site, done), _accompanied(bench.site, fault):
        _DO[fault.kind](bench, fault, done)
    done.problems += unnamed(fault, done)


def _kill(bench: Bench, fault: Fault, _: Done) -> None:
    for name in fault.victims:
        bench.site.kill(name)


def _freeze(bench: Bench, fault: Fault, _: Done) -> None:
    bench.site.kill(fault.victims[0], signal.SIGSTOP)
    time.sleep(fault.seconds)
    bench.site.kill(fault.victims[0], signal.SIGCONT)


def _terminate(bench: Bench, fault: Fault, done: Done) -> None:
    for name in fault.victims:
        old = bench.site.pid_or_none(name)
        bench.site.restart(name)
        _until(partial(_reborn, bench.site, name, old), 60)
        bench.site.await_ready(name, 300)
        reason = next(state.reason for state in bench.site.states() if state.name == name)
        if reason != "ended with code 0" and fault.companion != name:
            done.problems.append(f"{name} was asked to end and {reason}")


def _broker_away(bench: Bench, fault: Fault, done: Done) -> None:
    with bench.site.halted("kafka"):
        _last(fault, done)


def _broker_away_at_start(bench: Bench, fault: Fault, done: Done) -> None:
    with bench.site.halted("kafka"):
        bench.site.kill(fault.victims[0])
        _last(fault, done)


def _registry_away(bench: Bench, fault: Fault, done: Done) -> None:
    with bench.site.halted("registry"):
        bench.site.kill(fault.victims[0])
        _last(fault, done)


def _database_away(bench: Bench, fault: Fault, done: Done) -> None:
    with bench.site.halted("postgres"):
        _last(fault, done)


def _last(fault: Fault, done: Done) -> None:
    time.sleep(fault.seconds)
    _until(lambda: not unnamed(fault, done), _NOTICING)


def _objects_away(bench: Bench, fault: Fault, done: Done) -> None:
    with bench.site.without_objects():
        _last(fault, done)


def _objects_full(bench: Bench, fault: Fault, done: Done) -> None:
    """The small file system has no byte left; without one, the folder is away."""
    if not bench.site.bounded:
        _objects_away(bench, fault, done)
        return
    ballast = bench.site.objects / "ballast"
    _fill(ballast)
    _last(fault, done)
    ballast.unlink()


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _letters_unwritable(bench: Bench, fault: Fault, done: Done) -> None:
    """No dead letter fits its topic: who has one to write must stop, and come back later."""
    pids = _pids(bench.site, "detection")
    _limit_letters(bench.mesh, "64")
    try:
        done.letters |= _poison(bench.mesh, "frames.live")
        if not _until(lambda: _pids(bench.site, "detection") != pids, 30):
            done.problems.append("detection went on without its dead letters")
        time.sleep(fault.seconds)
    finally:
        _limit_letters(bench.mesh, None)


def _limit_letters(mesh: Mesh, most: str | None) -> None:
    admin = AdminClient({"bootstrap.servers": mesh.settings.kafka_bootstrap})
    entry = ConfigEntry(
        "max.message.bytes",
        most or str(4 << 20),
        incremental_operation=AlterConfigOpType.SET,
    )
    topic = ConfigResource(
        ResourceType.TOPIC, mesh.topics("dead-letters"), incremental_configs=[entry]
    )
    for future in admin.incremental_alter_configs([topic]).values():
        future.result(20)


def _poison_record(bench: Bench, fault: Fault, done: Done) -> None:
    done.letters |= _poison(bench.mesh, INPUT[service_of(fault.victims[0])])


def _poison(mesh: Mesh, topic: str) -> set[tuple[str, int, int]]:
    """An undecodable record in every partition of a topic; returns their places."""
    places: set[tuple[str, int, int]] = set()
    producer = Producer({"bootstrap.servers": mesh.settings.kafka_bootstrap})
    for partition in range(mesh.settings.partitions):
        producer.produce(
            mesh.topics(topic), key=f"poison-{partition}", value=b"no record at all",
            partition=partition,
            on_delivery=lambda _, m: places.add((topic, m.partition(), m.offset())),
        )  # fmt: skip
    producer.flush(20)
    return places


def _deadly_picture(bench: Bench, _: Fault, done: Done) -> None:
    """Pushed by a client that is gone before the third process meets its picture."""
    before = _poisoned(bench)
    body = frame_request(bench.camera_id, bench.deadly)
    # Given up after its time it would be shed(deadline), before the engine sees it once more.
    body["detection_options"]["processing"]["timeout_ms"] = 60_000
    _until(lambda: _is_taken(bench, body), _DYING)
    _await_poison(bench, before, _DYING, done)


def _is_taken(bench: Bench, body: Mapping[str, Any]) -> bool:
    """Whether a gateway takes a picture in hand, or keeps its client waiting for the answer."""
    try:
        answer = bench.mesh.http.post("/detections/process-frame", json=body, timeout=3)
    except httpx2.TimeoutException:
        return True
    except httpx2.HTTPError:
        return False
    return answer.status_code not in NEEDS_RETRY_AFTER


def _hanging_picture(bench: Bench, fault: Fault, done: Done) -> None:
    """A frame of the evidence lane, from which nothing is shed."""
    before = _poisoned(bench)
    now = datetime.now(UTC)
    frame = a_frame_header(
        camera_id=bench.camera_id,
        epoch=new_epoch(now),
        lane=Lane.EVIDENCE,
        camera_timestamp=now,
        received_timestamp=now,
    )
    picture = bench.hanging[fault.variant % len(bench.hanging)]
    event = a_frame_captured(frame=frame, image=picture)
    topic = bench.mesh.topics.lane(Lane.EVIDENCE)
    bench.mesh.producer.send(Output(topic, bench.camera_id, event))
    bench.mesh.producer.flush()
    _await_poison(bench, before, _HANGING, done)


def _await_poison(bench: Bench, before: int, within: float, done: Done) -> None:
    if not _until(lambda: _poisoned(bench) > before, within):
        done.problems.append(f"the picture is not failed(poison) after {within:g} s")


def _poisoned(bench: Bench) -> int:
    """How many frames of the camera are booked as failed(poison)."""
    [(count,)] = bench.mesh.sql(
        """
        SELECT coalesce(sum(upper(span) - lower(span)), 0)::int
        FROM results.ledger, unnest(numbers) AS span
        WHERE camera_id = %s AND outcome = 'failed' AND reason LIKE 'poison%%'
        """,
        bench.camera_id,
    )
    return int(count)


_DO: Mapping[Kind, Callable[[Bench, Fault, Done], None]] = {
    Kind.KILL: _kill,
    Kind.KILL_SEVERAL: _kill,
    Kind.KILL_INFRASTRUCTURE: _kill,
    Kind.FREEZE: _freeze,
    Kind.TERMINATE: _terminate,
    Kind.ROLL: _terminate,
    Kind.BROKER_AWAY: _broker_away,
    Kind.BROKER_AWAY_AT_START: _broker_away_at_start,
    Kind.REGISTRY_AWAY: _registry_away,
    Kind.DATABASE_AWAY: _database_away,
    Kind.OBJECTS_AWAY: _objects_away,
    Kind.OBJECTS_FULL: _objects_full,
    Kind.LETTERS_UNWRITABLE: _letters_unwritable,
    Kind.POISON_RECORD: _poison_record,
    Kind.DEADLY_PICTURE: _deadly_picture,
    Kind.HANGING_PICTURE: _hanging_picture,
}


@contextlib.contextmanager
def _accompanied(site: Site, fault: Fault) -> Iterator[None]:
    """Kill the companion in the middle of it."""
    timer = threading.Timer(fault.seconds / 2 + 0.2, site.kill, [fault.companion])
    if fault.companion:
        timer.start()
    try:
        yield
    finally:
        if fault.companion:
            timer.join()


@contextlib.contextmanager
def _watched(site: Site, done: Done) -> Iterator[None]:
    """Note what every service's readiness says meanwhile."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            for name in site.specs:
                for check, problem in site.problems(name).items():
                    done.said.setdefault(name, {})[check] = problem

    thread = threading.Thread(target=watch, name="readiness")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def unnamed(fault: Fault, done: Done) -> list[str]:
    """Services whose readiness did not name what was away for long enough."""
    if fault.seconds < LONG_ENOUGH.get(fault.kind, _SOON):
        return []
    hit = {service_of(victim) for victim in fault.victims}
    said = [(service_of(name), str(problems)) for name, problems in list(done.said.items())]
    return [
        f"{service}'s readiness did not name the {word}"
        for service, word in NAMED.get(fault.kind, {}).items()
        if (not hit or service in hit)
        and not any(word in problems for name, problems in said if name == service)
    ]


def _reborn(site: Site, name: str, old: int | None) -> bool:
    return site.pid_or_none(name) not in {None, old}


def _pids(site: Site, service: str) -> set[int | None]:
    return {state.pid for state in site.states() if service_of(state.name) == service}


def _until(condition: Callable[[], bool], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
