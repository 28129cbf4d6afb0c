"""An installation that can be hurt: two of everything, services that outlive their dependencies."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx2
from typing_extensions import override

from local.backoff import RestartPolicy
from local.download import Report
from local.installation import Installation, Plan
from local.layout import Layout, repository_root, state_root
from local.network import LOOPBACK, free_ports
from local.process import ProcessSpec
from local.pytest_fixtures import ObjectServer
from local.services import is_ready, processes
from local.supervisor import StartError

HASTY = {
    "SIGHTLINE_LEDGER_GRACE_SECONDS": "15",
    "SIGHTLINE_LEDGER_SWEEP_SECONDS": "3",
}
"""What tests would else wait minutes for."""
_OWN = {"detection": {"SIGHTLINE_BATCH_TIMEOUT_S": "6"}}
"""No stage that waits for a database: that may take longer than an engine."""
OBJECT_STORE_BYTES = 96 << 20
_GATEWAY_PORT = "SIGHTLINE_GATEWAY_PORT"
_HEALTH_PORT = "SIGHTLINE_HEALTH_PORT"


class Site(Installation):
    """One installation of its own.

    Its services are started again whether or not broker, registry and database are there, as
    they would be by an orchestrator. As root its object folder is a small file system, which can
    be full; with `s3` a real S3 server stands before it.

    Args:
        root: The folder that everything is kept in; the database's user must be able to enter it.
        instances: How many of each service, one where it is not named.
        environment: Variables for every service.
        report: Takes progress lines.
        s3: Whether pictures are kept by an S3 server instead of in a plain folder.
    """

    def __init__(
        self,
        root: Path,
        *,
        instances: Mapping[str, int],
        environment: Mapping[str, str],
        report: Report,
        s3: bool = False,
    ) -> None:
        layout = Layout(root=root, cache=Layout.at(state_root(os.environ)).cache)
        self._s3 = ObjectServer(root / "s3") if s3 else None
        self.objects = layout.objects
        if self._s3:
            self.objects = self._s3.folder
            environment = {
                **environment,
                **self._s3.environment,
                "SIGHTLINE_OBJECTS_URL": self._s3.url,
            }
        super().__init__(
            Plan(
                layout=layout,
                instances=instances,
                environment=environment,
                restart=RestartPolicy(first=0.2, longest=4.0, settled=30.0, tries=6),
            ),
            report,
        )
        self.logs = layout.log
        self.bounded = _mount(self.objects)
        self.specs: dict[str, ProcessSpec] = {}

    @override
    def start_services(self) -> None:
        if self._s3:
            self._s3.start()
        specs = processes(
            layout=self._layout,
            instances=self._plan.instances,
            gateway_port=self.gateway_port,
            shared=self.environment,
            own=_OWN,
            after=(),
        )
        self.specs = {spec.name: _adapted(spec) for spec in specs}
        self.supervisor.add(list(self.specs.values()))
        self.supervisor.start()

    @override
    def stop(self) -> None:
        # Nothing depends on the infrastructure here; it would be stopped with the services.
        for name in self.specs:
            self.supervisor.kill(name, signal.SIGCONT)
        for child in [self.supervisor._named(name) for name in self.specs]:
            child.ask_to_stop()
        for name in self.specs:
            self.supervisor.halt(name)
        super().stop()
        if self._s3:
            self._s3.stop()
        if self.bounded:
            subprocess.run(["umount", str(self.objects)], check=False)

    @property
    def gateways(self) -> list[str]:
        """The addresses of the gateways."""
        return [
            f"http://{LOOPBACK}:{spec.environment[_GATEWAY_PORT]}"
            for name, spec in self.specs.items()
            if name.startswith("gateway")
        ]

    def pid_or_none(self, name: str) -> int | None:
        """The process id, if it runs."""
        return next(state.pid for state in self.states() if state.name == name)

    def problems(self, name: str) -> dict[str, str]:
        """What a service's readiness says is wrong; empty if it is ready or does not answer."""
        try:
            answer = httpx2.get(
                f"{self.health(name)}/ready", timeout=3, trust_env=False, verify=False
            )
            found: dict[str, str] = answer.json().get("problems", {})
        except (httpx2.HTTPError, json.JSONDecodeError):
            return {}
        return found

    def health(self, name: str) -> str:
        """The address of a service's health server."""
        return f"http://{LOOPBACK}:{self.specs[name].environment[_HEALTH_PORT]}"

    def await_all_ready(self, within: float) -> dict[str, float]:
        """Wait until everything runs and every service says that it is ready.

        Returns:
            After how many seconds each was.

        Raises:
            StartError: Something is not in time; the message says what it is waiting for.
        """
        began = time.monotonic()
        took: dict[str, float] = {}
        waiting = [state.name for state in self.states()]
        while waiting:
            passed = time.monotonic() - began
            took |= {name: round(passed, 1) for name in waiting if self._is_ready(name)}
            waiting = [name for name in waiting if name not in took]
            if waiting and passed > within:
                why = {name: self.problems(name) for name in waiting if name in self.specs}
                raise StartError(f"not ready after {within:g} s: {waiting} {why}")
            time.sleep(0.2)
        return took

    def _is_ready(self, name: str) -> bool:
        if name in self.specs:
            return is_ready(int(self.specs[name].environment[_HEALTH_PORT]))
        return self.supervisor._named(name).ready.is_set()

    @contextlib.contextmanager
    def halted(self, name: str) -> Iterator[None]:
        """Without this process, which is started again afterwards and waited for."""
        self.supervisor.halt(name)
        try:
            yield
        finally:
            self.supervisor.resume(name)
            self.await_ready(name, 300)

    @contextlib.contextmanager
    def without_objects(self) -> Iterator[None]:
        """Without the S3 server, or with a file where the folder of snapshots was."""
        if self._s3:
            self._s3.stop()
            try:
                yield
            finally:
                self._s3.start()
            return
        folder = self.objects / "snapshots"
        kept = folder.with_name("snapshots.kept")
        folder.mkdir(exist_ok=True)
        folder.rename(kept)
        folder.touch()
        try:
            yield
        finally:
            folder.unlink()
            kept.rename(folder)


def _adapted(spec: ProcessSpec) -> ProcessSpec:
    """Ports of its own for a further gateway, and the breakable engine for detection."""
    environment = dict(spec.environment)
    command = spec.command
    if spec.name.startswith("gateway-"):
        environment[_GATEWAY_PORT] = str(free_ports(1)[0])
    if spec.name.startswith("detection"):
        path = [str(repository_root()), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        command = (*command[:-1], "tests.chaos.breakable_detection")
    return replace(spec, environment=environment, command=command, ready_within=240.0)


def _mount(folder: Path) -> bool:
    """Make the folder a small file system; only root may, and not everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return False
    words = ["mount", "-t", "tmpfs", "-o", f"size={OBJECT_STORE_BYTES}", "tmpfs", str(folder)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
