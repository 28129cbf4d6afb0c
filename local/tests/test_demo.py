"""The demo as a newcomer meets it: started, found again, killed, started again, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local.layout import Layout, state_root
from local.process import born
from local.running import owner
from local.supervisor import recorded

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]


class _Demo:
    """Runs `sightline-local` in a state folder of its own that shares the downloads."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout.at(root)
        root.mkdir()
        (root / "cache").symlink_to(Layout.at(state_root({})).cache)

    def run(self, *words: str) -> str:
        settings = {
            "SIGHTLINE_VAR": str(self.layout.root),
            "SIGHTLINE_GATEWAY_PORT": "0",
            "SIGHTLINE_MODEL_PACK": "dlib",
            "SIGHTLINE_DEMO_FPS": "0.5",
        }
        done = subprocess.run(
            [sys.executable, "-m", "local.main", *words],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str) -> dict[str, Any]:
        entry = json.loads(self.layout.demo.read_text())
        headers = {"Authorization": f"Bearer {entry['token']}"}
        url = f"{entry['url']}/api/v1{path}"
        answer = httpx2.get(url, headers=headers, timeout=60, trust_env=False)
        answer.raise_for_status()
        return dict(answer.json())

    def processes(self) -> list[tuple[int, str]]:
        entries = recorded(self.layout.run / "processes.json")
        return [(int(str(entry["pid"])), str(entry["born"])) for entry in entries if entry["pid"]]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[_Demo]:
    running = _Demo(tmp_path / "var")
    yield running
    running.run("clean")


def _gone(processes: list[tuple[int, str]], within: float) -> bool:
    deadline = time.monotonic() + within
    while any(born(pid) == when for pid, when in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_the_demo_survives_its_own_death_and_leaves_nothing_behind(demo: _Demo) -> None:
    first = demo.run("demo", "--detach")
    assert "Enrolling Grace Hopper" in first
    assert demo.layout.demo.stat().st_mode & 0o777 == 0o600
    camera = demo.get("/cameras")["cameras"][0]["camera_id"]
    person = demo.get("/persons")["persons"][0]["person_id"]
    token = json.loads(demo.layout.demo.read_text())["token"]
    assert f"  token  {token}" in demo.run("demo")
    assert "recognition      ready" in demo.run("status")

    supervisor, processes = owner(demo.layout), demo.processes()
    assert supervisor is not None
    assert len(processes) >= 10
    os.kill(supervisor, signal.SIGKILL)
    assert _gone(processes, within=60)

    second = demo.run("demo", "--detach")
    assert "Enrolling" not in second
    assert [entry["camera_id"] for entry in demo.get("/cameras")["cameras"]] == [camera]
    assert [entry["person_id"] for entry in demo.get("/persons")["persons"]] == [person]

    processes = demo.processes()
    assert "Stopped." in demo.run("stop")
    assert _gone(processes, within=60)
    assert not demo.layout.demo.exists()
