"""One installation under load, and round after round of faults on it."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy as np
import psycopg
from confluent_kafka import KafkaException
from PIL import Image
from skimage import data
from tests.chaos.auditor import Auditor, Patience
from tests.chaos.books import Findings
from tests.chaos.breakable_detection import DEADLY, HANGING, SEIZING, marked
from tests.chaos.clients import Clients, Pixels, contradictions, summary
from tests.chaos.faults import Bench, Done, inflict
from tests.chaos.schedule import Fault
from tests.chaos.site import Site
from tests.e2e.clips import shrink
from tests.e2e.observer import Mesh, jpeg, wait_for

from local.sample import Sample
from mesh.errors import MeshError

WIDTH, HEIGHT = 320, 180
_ANSWERED = 310.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What an installation is kept busy with.

    Args:
        cameras: How many play the sample.
        fps: Frames per second of each.
        clients: How many push pictures.
        pause: Seconds between two pictures of a client.
    """

    cameras: int = 4
    fps: float = 0.5
    clients: int = 3
    pause: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round showed.

    Args:
        number: Its number in the schedule.
        fault: What was done.
        seconds: How long it took, from the fault to the last check.
        frames: Frames so far, by outcome.
        stored: Rows of detections and pictures so far.
        repeated: Results so far that were published again, byte for byte.
        requests: Pushed pictures so far: how many, and their answers.
        said: Problems that readiness reported meanwhile, by process.
        ready: After how many seconds each process was ready again, after the last fault.
        problems: What must not be.
    """

    number: int
    fault: str
    seconds: float
    frames: Mapping[str, int]
    stored: Mapping[str, int]
    repeated: int
    requests: Mapping[str, Any]
    said: Mapping[str, Any]
    ready: Mapping[str, float]
    problems: Sequence[str]

    def line(self) -> str:
        """The round in one line."""
        frames = " ".join(f"{name} {count}" for name, count in sorted(self.frames.items()))
        verdict = "; ".join(self.problems) or "ok"
        return (
            f"round {self.number:3d}  {self.fault:42s} {self.seconds:5.1f} s  {frames}  {verdict}"
        )


class Trial:
    """A running installation under load; use it as a context manager.

    Args:
        site: The installation.
        mesh: The same from outside.
        sample: What is seen.
        load: What keeps it busy.
        patience: How long it may take to come to rest after a fault.
    """

    def __init__(
        self, site: Site, mesh: Mesh, sample: Sample, *, load: Load, patience: Patience
    ) -> None:
        self._site = site
        self._mesh = mesh
        self._sample = sample
        self._load = load
        self.auditor = Auditor(mesh, site.objects, patience)
        self.clients = Clients(lambda: site.gateways, mesh.token, pause=load.pause)
        self._cameras: list[str] = []
        self._patience = patience
        self._told: set[str] = set()
        """What was wrong with answers, and was said in the round that showed it."""

    def __enter__(self) -> Self:
        """Start cameras and clients, and wait until it flows."""
        try:
            self._set_up()
        except BaseException:
            self.clients.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the load."""
        self.clients.stop()
        for camera_id in self._cameras:
            with suppress(httpx2.HTTPError):
                self._mesh.http.delete(f"/cameras/{camera_id}")

    def _set_up(self) -> None:
        mesh, sample, folder = self._mesh, self._sample, self._site.logs.parent
        clip = shrink(sample.video, folder / "chaos.mp4", WIDTH, HEIGHT)
        pushed = [self._camera(f"Pushed {n}", clip, 0.5) for n in range(3)]
        for camera_id in pushed:
            mesh.stop_camera(camera_id)
        for number in range(self._load.cameras):
            self._camera(f"Door {number}", clip, self._load.fps)
        astronaut = data.astronaut()[:300, 70:370]
        self._bench = Bench(
            site=self._site,
            mesh=mesh,
            deadly=jpeg(marked(astronaut, DEADLY), 95),
            hanging=tuple(jpeg(marked(astronaut, mark), 95) for mark in (HANGING, SEIZING)),
            camera_id=pushed[-1],
        )
        self.clients.start(self._load.clients, cameras=pushed[:-1], pictures=_pictures(sample))
        wait_for(lambda: mesh.get("/detections")["detections"], 180, "nothing flows at the start")

    def _camera(self, name: str, clip: Path, fps: float) -> str:
        self._cameras.append(self._mesh.add_file_camera(name, str(clip), fps))
        return self._cameras[-1]

    def round(self, number: int, *faults: Fault) -> Round:
        """Inflict faults one after the other, each until all is ready again, and judge the end."""
        began = time.monotonic()
        done = Done()
        findings = Findings()
        ready: dict[str, float] = {}
        try:
            for fault in faults:
                inflict(self._bench, fault, done)
                ready = self._site.await_all_ready(self._patience.ready)
            findings = self._audit(done)
        except (MeshError, KafkaException, psycopg.Error, httpx2.HTTPError, OSError) as error:
            findings.problems.append(f"{type(error).__name__}: {error}")
        return Round(
            number=number,
            fault=", then ".join(map(str, faults)),
            seconds=round(time.monotonic() - began, 1),
            frames=dict(findings.outcomes),
            stored=findings.stored,
            repeated=findings.repeated,
            requests=summary(self.clients.asked),
            said=done.said,
            ready=ready,
            problems=[*done.problems, *findings.problems],
        )

    def _audit(self, done: Done) -> Findings:
        now = time.monotonic()
        deadline = now + _ANSWERED
        while (waiting := self.clients.unanswered(now)) and time.monotonic() < deadline:
            time.sleep(0.25)
        findings = self.auditor.audit()
        asked = [each for each in self.clients.asked if each.ended and each.ended < now]
        findings.wrong("unanswered", [each.frame_id for each in waiting])
        answers = (f"{each.frame_id}: {problem}" for each in asked for problem in each.problems)
        findings.wrong("answers", self._new(answers))
        findings.wrong("repeated requests", self._new(contradictions(asked)))
        findings.wrong("poison without a dead letter", done.letters - self.auditor.letters())
        stored = {
            detection
            for (detection,) in self._mesh.sql("SELECT detection_id FROM results.detections")
        }
        told = {ids for each in asked for found in each.detection_ids for ids in found}
        findings.wrong("answered but not stored", told - stored)
        return findings

    def _new(self, problems: Iterable[str]) -> list[str]:
        """Those that no round has told yet."""
        new = [problem for problem in problems if problem not in self._told]
        self._told.update(new)
        return new

    def rest(self) -> tuple[dict[str, Any], list[str]]:
        """Stop the load, and wait until every number of every camera has an outcome.

        Returns:
            The balance of all cameras, and what is wrong with it.
        """
        self.clients.stop()
        for camera_id in self._cameras:
            self._mesh.stop_camera(camera_id)
        deadline = time.monotonic() + self._patience.due
        while (book := self._mesh.get("/ledger", page_size=100)["in_all"])["open"]:
            if time.monotonic() > deadline:
                return book, [f"{book['open']} numbers are open at the end"]
            time.sleep(1)
        ended = book["processed"] + sum(book[name]["total"] for name in ("failed", "shed", "lost"))
        wrong = [] if ended == book["captured"] else [f"the books do not balance: {book}"]
        return book, [*wrong, *self.auditor.audit().problems]


def _pictures(sample: Sample) -> list[Pixels]:
    """A known person, an unknown one, and nobody."""
    with Image.open(sample.portrait) as portrait:
        portrait.thumbnail((WIDTH, WIDTH))
        known = np.asarray(portrait.convert("RGB"))
    return [known, data.astronaut()[:300, 70:370], np.full((HEIGHT, WIDTH, 3), 128, np.uint8)]


def keep(report: Path, found: Round, site: Site) -> None:
    """Add a round to a report; with problems, keep the logs beside it."""
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(found), default=str) + os.linesep)
    if found.problems:
        shutil.copytree(
            site.logs, report.with_suffix("") / f"round-{found.number}", dirs_exist_ok=True
        )
