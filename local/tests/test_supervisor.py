import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local.backoff import RestartPolicy
from local.child import Phase
from local.process import ProcessSpec, born, stand_back
from local.supervisor import StartError, Supervisor, recorded
from mesh.errors import ConfigurationError

_QUICK = RestartPolicy(first=0.01, longest=0.02)
_SERVE = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(60)"


def _spec(name: str, folder: Path, *, after: tuple[str, ...] = (), code: str = "") -> ProcessSpec:
    mark = folder / f"{name}.mark"
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-S", "-c", code or _SERVE, str(mark)),
        after=after,
        ready=mark.exists,
        ready_within=60,
        stop_within=2,
    )


def _supervisor(
    folder: Path, *specs: ProcessSpec, say: Callable[[str], None] = print
) -> Supervisor:
    return Supervisor(specs, log=folder / "log", run=folder / "run", policy=_QUICK, say=say)


def _until(condition: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_processes_start_after_those_they_wait_for_and_all_end(tmp_path: Path) -> None:
    order: list[str] = []
    first, second = _spec("first", tmp_path), _spec("second", tmp_path, after=("first",))
    with _supervisor(tmp_path, first, second, say=order.append) as supervisor:
        pids = [supervisor.pid(name) for name in ("first", "second")]
        assert [line.split()[0] for line in order] == ["first", "second"]
    assert [born(pid) for pid in pids] == ["", ""]
    assert {state.phase for state in supervisor.states()} == {Phase.STOPPED}


def test_who_stands_back_yields_to_other_sessions(tmp_path: Path) -> None:
    quiet = replace(_spec("quiet", tmp_path), niceness=7)
    with _supervisor(tmp_path, quiet, _spec("loud", tmp_path)) as supervisor:
        found = [os.getpriority(os.PRIO_PROCESS, supervisor.pid(n)) for n in ("quiet", "loud")]
        groups = [Path(f"/proc/{supervisor.pid(n)}/autogroup") for n in ("quiet", "loud")]
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert found == [min(own + 7, 19), own]
        if groups[0].exists():  # the kernel weighs sessions
            assert [each.read_text().split()[-1] for each in groups] == ["7", "0"]


def test_nothing_happens_to_a_process_that_has_ended(tmp_path: Path) -> None:
    with _supervisor(tmp_path, _spec("only", tmp_path)) as supervisor:
        pid = supervisor.pid("only")
    stand_back(pid, 5)
    assert not born(pid)


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    with _supervisor(tmp_path, _spec("only", tmp_path)) as supervisor:
        before = supervisor.pid("only")
        supervisor.kill("only")
        _until(lambda: supervisor.states()[0].restarts == 1)
        supervisor.await_ready("only", 60)
        state = supervisor.states()[0]
        assert state.pid != before
        assert state.reason == "was ended by SIGKILL"


def test_restart_and_halt_and_resume_are_orderly(tmp_path: Path) -> None:
    with _supervisor(tmp_path, _spec("only", tmp_path)) as supervisor:
        before = supervisor.pid("only")
        supervisor.restart("only")
        supervisor.await_ready("only", 60)
        assert supervisor.pid("only") != before
        assert supervisor.states()[0].failures == 0
        supervisor.halt("only")
        with pytest.raises(ConfigurationError, match="does not run"):
            supervisor.pid("only")
        supervisor.resume("only")
        supervisor.await_ready("only", 60)


def test_a_process_that_cannot_start_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    bad = _spec("bad", tmp_path, code="raise SystemExit('no such model: faces.onnx')")
    supervisor = _supervisor(tmp_path, bad)
    with pytest.raises(StartError, match=r"bad ended with code 1, \d+ times(?s:.)*faces\.onnx"):
        supervisor.start()
    supervisor.stop()


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, sys, time; signal.signal(15, signal.SIG_IGN);"
        "open(sys.argv[1], 'a').write('x'); time.sleep(60)"
    )
    said: list[str] = []
    with _supervisor(tmp_path, _spec("deaf", tmp_path, code=deaf), say=said.append) as supervisor:
        pid = supervisor.pid("deaf")
    assert not born(pid)
    assert "deaf did not end in 2 s: killed" in said


def test_preparation_that_fails_counts_as_a_failed_start(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ConfigurationError("initdb failed: no space")

    spec = ProcessSpec(name="db", command=("true",), prepare=refuse)
    supervisor = _supervisor(tmp_path, spec)
    with pytest.raises(StartError, match="initdb failed: no space"):
        supervisor.start()
    supervisor.stop()


def test_leftovers_of_a_killed_supervisor_are_ended_first(tmp_path: Path) -> None:
    supervisor = _supervisor(tmp_path, _spec("only", tmp_path))
    supervisor.start()
    pid = supervisor.pid("only")
    state = tmp_path / "run" / "processes.json"
    assert recorded(state)[0]["pid"] == pid
    # Halted as the thread of a killed supervisor would be: it no longer watches.
    supervisor._children["only"]._stop.set()
    _supervisor(tmp_path)
    assert not born(pid)
    supervisor.stop()


def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "import test_supervisor as t; folder = Path(sys.argv[1]);"
        "s = t._supervisor(folder, t._spec('only', folder)); s.start();"
        "(folder / 'pid').write_text(str(s.pid('only')));"
        "import time; time.sleep(60)"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)]
    keeper = os.spawnv(os.P_NOWAIT, sys.executable, arguments)
    _until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    child = int((tmp_path / "pid").read_text())
    assert born(child)
    os.kill(keeper, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1]) == -signal.SIGKILL
    _until(lambda: not born(child))


def test_names_are_unique_and_dependencies_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="two processes"):
        _supervisor(tmp_path, _spec("a", tmp_path), _spec("a", tmp_path))
    with pytest.raises(ConfigurationError, match="b waits for unknown c"):
        _supervisor(tmp_path, _spec("b", tmp_path, after=("c",)))
    with pytest.raises(ConfigurationError, match="no process 'x'; there are a"):
        _supervisor(tmp_path, _spec("a", tmp_path)).pid("x")
