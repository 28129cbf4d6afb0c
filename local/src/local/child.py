"""One supervised process: started, watched, started again and ended."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from local.backoff import RestartPolicy
from local.logfile import bound, open_log, tail
from local.process import ProcessSpec, stand_back
from mesh.errors import MeshError

_POLL = 0.1
_BOUND_EVERY = 5.0


class Phase(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChildState:
    """What can be told of a process.

    Args:
        name: Its name.
        phase: Where it is in its life.
        pid: Its process id, if it runs.
        restarts: How often it was started again.
        failures: How often in a row it ended or did not become ready.
        reason: Why it last ended, "" if it never did.
    """

    name: str
    phase: Phase
    pid: int | None
    restarts: int
    failures: int
    reason: str


class Child:
    """Runs one process on a thread of its own until it is told to stop.

    Args:
        spec: What to run.
        log: Its log file.
        after: The children that must be ready first.
        policy: When it is started again.
        changed: Called after every change of phase, from any thread.
        say: Takes a line for the person who watches.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        log: Path,
        after: Sequence["Child"],
        policy: RestartPolicy,
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.log = log
        self.ready = threading.Event()
        self._after = after
        self._policy = policy
        self._changed = changed
        self._say = say
        self._stop = threading.Event()
        self._again = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._phase = Phase.STOPPED
        self._restarts = 0
        self._failures = 0
        self._reason = ""

    @property
    def state(self) -> ChildState:
        """What can be told of it now."""
        process = self._process
        pid = process.pid if process is not None and process.returncode is None else None
        return ChildState(
            name=self.spec.name,
            phase=self._phase,
            pid=pid,
            restarts=self._restarts,
            failures=self._failures,
            reason=self._reason,
        )

    def last_lines(self, lines: int = 12) -> list[str]:
        """The last lines of its log."""
        return tail(self.log, lines)

    def start(self) -> None:
        """Starts its life; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop.clear()
        self._failures = 0
        self._thread = threading.Thread(target=self._live, name=self.spec.name, daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Asks it to end for good; returns at once."""
        self._stop.set()
        self._signal(self.spec.stop_signal)

    def stop(self) -> None:
        """Ends it for good: asks, waits its time, then kills."""
        self.ask_to_stop()
        self._join(self.spec.stop_within)
        if self._thread is not None and self._thread.is_alive():
            self._say(f"{self.spec.name} did not end in {self.spec.stop_within:g} s: killed")
            self._signal(signal.SIGKILL)
            self._join(10.0)

    def restart(self) -> None:
        """Ends it as for a deployment and starts it again without a wait."""
        self._again = True
        self.ready.clear()
        self._signal(self.spec.stop_signal)

    def kill(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _join(self, within: float) -> None:
        if self._thread is not None:
            self._thread.join(within)

    def _live(self) -> None:
        while not self._stop.is_set():
            self._phase_is(Phase.WAITING)
            if not self._await_others():
                break
            born = time.monotonic()
            self._reason = self._run()
            if self._stop.is_set():
                break
            self._pause(time.monotonic() - born)
            self._restarts += 1
        self._phase_is(Phase.STOPPED)

    def _await_others(self) -> bool:
        while not all(child.ready.is_set() for child in self._after):
            if self._stop.wait(_POLL):
                return False
        return not self._stop.is_set()

    def _run(self) -> str:
        self._phase_is(Phase.STARTING)
        try:
            self.spec.prepare()
            self._process = self._launch()
        except (MeshError, OSError, subprocess.SubprocessError) as error:
            return f"could not be started: {error}"
        try:
            if self._stop.is_set():
                self._signal(self.spec.stop_signal)
            reason = self._await_ready(self._process)
            return reason or self._await_end(self._process)
        finally:
            self.ready.clear()

    def _launch(self) -> subprocess.Popen[bytes]:
        bound(self.log)
        with open_log(self.log) as log:
            process = subprocess.Popen(
                _bound_to_us(self.spec),
                env=dict(self.spec.environment),
                cwd=self.spec.folder or self.log.parent,
                user=self.spec.user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # What a process writes may hold faces and names: for its owner's eyes only.
                umask=0o077,
                # Ctrl-C reaches the supervisor alone, which then stops all in order.
                start_new_session=True,
            )
        if self.spec.niceness:
            stand_back(process.pid, self.spec.niceness)
        self._changed()
        return process

    def _await_ready(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + self.spec.ready_within
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return _ended(process)
            if self.spec.ready():
                self.ready.set()
                self._phase_is(Phase.READY)
                return ""
            time.sleep(_POLL)
        self._end(process)
        return f"was not ready after {self.spec.ready_within:g} s"

    def _await_end(self, process: subprocess.Popen[bytes]) -> str:
        while True:
            try:
                process.wait(_BOUND_EVERY)
            except subprocess.TimeoutExpired:
                bound(self.log)
            else:
                return _ended(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(self.spec.stop_signal)
        try:
            process.wait(self.spec.stop_within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _pause(self, lived: float) -> None:
        if self._again:
            self._again = False
            return
        self._failures = self._policy.failures(self._failures, lived)
        failing = self._failures >= self._policy.tries
        self._phase_is(Phase.FAILED if failing else Phase.RESTARTING)
        # Jitter, not secrecy.
        wait = self._policy.wait(self._failures, uniform=random.uniform)
        self._say(f"{self.spec.name} {self._reason}; started again in {wait:.1f} s")
        if failing:
            for line in self.last_lines():
                self._say(f"    {line}")
        self._stop.wait(wait)

    def _phase_is(self, phase: Phase) -> None:
        self._phase = phase
        self._changed()


def _bound_to_us(spec: ProcessSpec) -> tuple[str, ...]:
    # Should this process be killed, the kernel ends its children (Linux, util-linux). The request
    # is bound to the thread that starts the child, which lives as long as the child does.
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return spec.command
    number = spec.orphan_signal.name.removeprefix("SIG")
    return (setpriv, "--pdeathsig", number, "--", *spec.command)


def _ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def end_leftover(pid: int, *, within: float = 20.0, alive: Callable[[], bool]) -> None:
    """Ends a process of an earlier supervisor: asks, waits, kills.

    Args:
        pid: Its id.
        within: Seconds until it is killed.
        alive: Whether it is still the same process.
    """
    deadline = time.monotonic() + within
    number = signal.SIGTERM
    while alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        time.sleep(0.2)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
