"""Starts, watches, restarts and stops the processes of one platform."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from local.backoff import RestartPolicy
from local.child import Child, ChildState, end_leftover
from local.process import ProcessSpec, born
from mesh.errors import ConfigurationError, MeshError


class StartError(MeshError):
    """A process did not become ready; the message ends with its last log lines."""


def _silent(_line: str) -> None:
    """Says nothing."""


class Supervisor:
    """Runs processes in the order of their dependencies; stops them in reverse.

    Args:
        specs: What to run; each names what must be ready before it.
        log: The folder of the log files.
        run: The folder of the state file, by which leftovers of a killed supervisor are ended.
        policy: When a process that ended is started again.
        say: Takes lines for the person who watches; called from several threads.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        log: Path,
        run: Path,
        policy: RestartPolicy | None = None,
        say: Callable[[str], None] = _silent,
    ) -> None:
        self._say = say
        self._policy = policy or RestartPolicy()
        self._log = log
        self._state = run / "processes.json"
        self._lock = threading.Lock()
        self._children: dict[str, Child] = {}
        self._levels: list[list[Child]] = []
        self._clear_leftovers()
        self.add(specs)

    def __enter__(self) -> Self:
        """Starts everything; see `start`."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops everything."""
        self.stop()

    def add(self, specs: Sequence[ProcessSpec]) -> None:
        """Adds processes; `start` then starts them.

        Raises:
            ConfigurationError: A name is used twice, or one waits for a process that is not there.
        """
        for spec in specs:
            if spec.name in self._children:
                raise ConfigurationError(f"two processes are called {spec.name!r}")
            unknown = [name for name in spec.after if name not in self._children]
            if unknown:
                raise ConfigurationError(f"{spec.name} waits for unknown {', '.join(unknown)}")
            self._children[spec.name] = self._child(spec)

    def _child(self, spec: ProcessSpec) -> Child:
        after = [self._children[name] for name in spec.after]
        child = Child(
            spec,
            log=self._log / f"{spec.name}.log",
            after=after,
            policy=self._policy,
            changed=self._record,
            say=self._say,
        )
        depth = 1 + max((self._depth(other) for other in after), default=-1)
        while len(self._levels) <= depth:
            self._levels.append([])
        self._levels[depth].append(child)
        return child

    def _depth(self, child: Child) -> int:
        return next(depth for depth, level in enumerate(self._levels) if child in level)

    def start(self) -> None:
        """Starts every process that does not run and waits until all are ready.

        Raises:
            StartError: One failed several times before it was ever ready.
        """
        began = time.monotonic()
        waiting = [child for child in self._children.values() if not child.ready.is_set()]
        for child in waiting:
            child.start()
        while waiting:
            for child in [child for child in waiting if child.ready.is_set()]:
                waiting.remove(child)
                self._say(f"  {child.spec.name} is ready ({time.monotonic() - began:.1f} s)")
            for child in waiting:
                self._give_up_if_failed(child)
            time.sleep(0.05)

    def _give_up_if_failed(self, child: Child) -> None:
        state = child.state
        if state.failures >= self._policy.tries:
            lines = "\n".join(f"    {line}" for line in child.last_lines(20))
            raise StartError(
                f"{state.name} {state.reason}, {state.failures} times; see {child.log}:\n{lines}"
            )

    def stop(self) -> None:
        """Stops every process, those first on which no other depends."""
        for level in reversed(self._levels):
            for child in level:
                child.ask_to_stop()
            for child in level:
                child.stop()
        self._record()

    def pid(self, name: str) -> int:
        """The process id of a running process.

        Raises:
            ConfigurationError: There is no such process, or it does not run now.
        """
        found = self._named(name).state.pid
        if found is None:
            raise ConfigurationError(f"{name} does not run now")
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a process a signal; if it ends of it, it is started again by the policy."""
        self._named(name).kill(number)

    def restart(self, name: str) -> None:
        """Ends a process orderly and starts it again at once; returns before it is ready."""
        self._named(name).restart()

    def halt(self, name: str) -> None:
        """Stops one process until `resume`."""
        self._named(name).stop()

    def resume(self, name: str) -> None:
        """Starts one halted process; returns before it is ready."""
        self._named(name).start()

    def await_ready(self, name: str, within: float = 60.0) -> None:
        """Waits until a process is ready.

        Raises:
            StartError: It is not in time.
        """
        child = self._named(name)
        if not child.ready.wait(within):
            lines = "\n".join(child.last_lines(20))
            raise StartError(f"{name} is not ready after {within:g} s; see {child.log}:\n{lines}")

    def states(self) -> list[ChildState]:
        """What can be told of every process, in the order of starting."""
        return [child.state for child in self._children.values()]

    def log_file(self, name: str) -> Path:
        """Where a process's output is."""
        return self._named(name).log

    def _named(self, name: str) -> Child:
        try:
            return self._children[name]
        except KeyError as error:
            known = ", ".join(self._children)
            raise ConfigurationError(f"no process {name!r}; there are {known}") from error

    def _record(self) -> None:
        with self._lock:
            entries = [
                asdict(state) | {"born": born(state.pid) if state.pid else ""}
                for state in self.states()
            ]
            fresh = self._state.with_suffix(".new")
            self._state.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(entries, indent=1))
            fresh.replace(self._state)

    def _clear_leftovers(self) -> None:
        for entry in recorded(self._state):
            pid, when = entry.get("pid"), entry.get("born")
            if isinstance(pid, int) and pid != os.getpid() and _is_alive(pid, when):
                self._say(f"ending {entry['name']} ({pid}), left over from an earlier run")
                end_leftover(pid, alive=partial(_is_alive, pid, when))


def _is_alive(pid: int, when: object) -> bool:
    return bool(when) and born(pid) == when


def recorded(state: Path) -> list[Mapping[str, object]]:
    """The entries of a supervisor's state file; none if there is no readable one."""
    try:
        entries = json.loads(state.read_text())
    except (OSError, ValueError):
        return []
    return entries if isinstance(entries, list) else []
