"""One installation under measurement: its API, its topics, its processes, its books."""

import base64
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import psutil  # type: ignore[import-untyped]  # ships no types
import psycopg

from bench.bare import PACK
from bench.material import Material
from local.installation import Installation, Plan
from local.layout import Layout, state_root
from mesh.codec import AvroCodec
from mesh.errors import TransientError
from mesh.kafka import EventProducer, KafkaTail
from mesh.record import Record
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings

_SOON = 0.1
CONSENT = {"consent_type": "face_recognition", "status": "granted"}


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes had used at a moment."""

    at: float
    """Monotonic seconds."""
    cpu_s: Mapping[str, float]
    """Seconds of processor time by process, its children included."""
    rss_mb: Mapping[str, float]
    """Resident memory by process, megabytes."""


class Site:
    """A running installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        environment = installation.environment
        self.settings = MeshSettings(
            kafka_bootstrap=environment["SIGHTLINE_KAFKA_BOOTSTRAP"],
            registry_url=environment["SIGHTLINE_REGISTRY_URL"],
            topic_prefix=environment["SIGHTLINE_TOPIC_PREFIX"],
            partitions=int(environment["SIGHTLINE_PARTITIONS"]),
            instance_id="bench",
        )
        self.topics = self.settings.topics
        self._registry = ConfluentRegistry(self.settings.registry_url)
        self.codec = AvroCodec(self._registry, self.topics, SchemaLibrary.packaged())
        self.producer = EventProducer(self.settings, self.codec)
        self.token = installation.token()
        self.http = httpx2.Client(
            base_url=f"{installation.url}/api/v1",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        """Close connections."""
        self.http.close()
        self._registry.close()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A successful answer of the API."""
        answer = self.http.post(path, json=body)
        if not answer.is_success:
            raise TransientError(f"{path}: {answer.status_code} {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def add_camera(self, name: str, clip: Path, fps: float, motion: float | None = None) -> str:
        """Register a camera that plays a file at its own pace; returns its id.

        Args:
            name: its name.
            clip: what it plays.
            fps: frames a second that are sampled.
            motion: its `motion_threshold`; no motion gate if None.
        """
        body = {
            "name": name,
            "stream_config": {"stream_type": "FILE", "path": str(clip)},
            "detection_config": {"fps_limit": fps, "motion_threshold": motion},
        }
        return str(self.post("/cameras", body)["camera_id"])

    def remove_camera(self, camera_id: str) -> None:
        """Forget a camera."""
        self.http.delete(f"/cameras/{camera_id}")

    def enrol(self, people: Mapping[str, bytes]) -> int:
        """Enrol persons by a portrait each; how many were taken, for not every picture is fit."""
        taken = 0
        for name, portrait in people.items():
            image = base64.b64encode(portrait).decode()
            body = {"name": name, "consent": CONSENT, "image": image}
            answer = self.http.post("/persons", json=body)
            if answer.is_success:
                person_id = str(answer.json()["person_id"])
                taken += self.eventually(partial(self._has_face, person_id), within=10.0)
        return taken

    def _has_face(self, person_id: str) -> bool:
        answer = self.http.get(f"/persons/{person_id}")
        return answer.is_success and bool(answer.json()["face_count"])

    @staticmethod
    def eventually(true: Callable[[], bool], *, within: float) -> bool:
        """Whether something becomes true in time, seconds."""
        end = time.monotonic() + within
        while not true():
            if time.monotonic() > end:
                return False
            time.sleep(_SOON)
        return True

    def read(self, *names: str) -> dict[str, list[Record[Any]]]:
        """Every record that these topics hold now, by topic name without prefix."""
        found: dict[str, list[Record[Any]]] = defaultdict(list)
        stop = threading.Event()
        tail = KafkaTail(self.settings, self.codec, topics=[self.topics(name) for name in names])
        thread = threading.Thread(
            target=tail.run, args=(lambda record: found[record.topic].append(record), stop)
        )
        thread.start()
        caught_up = tail.caught_up.wait(60)
        stop.set()
        thread.join()
        if not caught_up:
            raise TransientError(f"{names} could not be read to the end in 60 s")
        return {name: found[self.topics(name)] for name in names}

    def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with psycopg.connect(self.installation.database) as connection:
            return connection.execute(query, arguments).fetchall()

    def book(self, cameras: Sequence[str]) -> dict[str, int]:
        """Frames of these cameras in the ledger, by outcome and, where there is one, its reason."""
        rows = self.sql(
            "SELECT outcome, reason, sum(upper(r) - lower(r)) "
            "FROM results.ledger, unnest(numbers) AS r WHERE camera_id = ANY(%s) GROUP BY 1, 2",
            list(cameras),
        )
        return {f"{outcome} {reason}".strip(): int(count) for outcome, reason, count in rows}

    def usage(self) -> Usage:
        """What every process has used until now."""
        cpu: dict[str, float] = {}
        rss: dict[str, float] = {}
        for state in self.installation.states():
            if state.pid is None:
                continue
            family = _family(state.pid)
            cpu[state.name] = sum(_left(_cpu, each) for each in family)
            rss[state.name] = sum(_left(_rss, each) for each in family)
        own = psutil.Process()
        cpu["bench"], rss["bench"] = _cpu(own), _rss(own)
        return Usage(time.monotonic(), cpu, rss)

    def restarts(self) -> dict[str, int]:
        """How often each process was started again, those that never were left out."""
        return {each.name: each.restarts for each in self.installation.states() if each.restarts}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _left(measure: Callable[[psutil.Process], float], process: psutil.Process) -> float:
    """What a process uses; nothing if it has ended meanwhile, as PostgreSQL's workers do."""
    try:
        return measure(process)
    except psutil.NoSuchProcess:
        return 0.0


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rss(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def cpu_ms(before: Usage, after: Usage, frames: int) -> dict[str, float]:
    """Processor milliseconds per frame of each process, largest first."""
    spent = {
        name: 1000 * (seconds - before.cpu_s.get(name, 0.0)) / max(frames, 1)
        for name, seconds in after.cpu_s.items()
    }
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return {name: round(value, 2) for name, value in ordered}


def cpu_share(before: Usage, after: Usage) -> dict[str, float]:
    """What each process used between two moments, as a share of one core."""
    passed = after.at - before.at
    return {
        name: round((seconds - before.cpu_s.get(name, 0.0)) / passed, 3)
        for name, seconds in after.cpu_s.items()
    }


@contextmanager
def folder() -> Iterator[Layout]:
    """The layout of an installation of its own; downloads are shared, the rest is removed."""
    with TemporaryDirectory(prefix="sightline-bench-", ignore_cleanup_errors=True) as root:
        yield Layout(root=Path(root), cache=Layout.at(state_root(os.environ)).cache)


def plan(
    layout: Layout,
    where: Material,
    *,
    instances: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Plan:
    """An installation with the models of the benchmark."""
    return Plan(
        layout=layout,
        instances=instances or {},
        environment={
            "SIGHTLINE_MODEL_PACK": PACK,
            "SIGHTLINE_DETECTION_TASKS": "face",
            "SIGHTLINE_MODELS_DIR": str(where.models),
            "SIGHTLINE_LOG_LEVEL": "WARNING",
            **(environment or {}),
        },
    )


@contextmanager
def running(wanted: Plan) -> Iterator[Site]:
    """The installation of a plan, ready; stopped at the end, whatever happens."""
    with Installation(wanted) as installation:
        site = Site(installation)
        try:
            yield site
        finally:
            site.close()


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)
