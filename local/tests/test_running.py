import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.layout import Layout, repository_root, state_root
from local.running import AlreadyRunningError, owned, owner, stop_owner
from local.stopping import interrupt_once


def test_a_state_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert owner(layout) is None
    with owned(layout):
        assert owner(layout) == os.getpid()
        with pytest.raises(AlreadyRunningError, match="another process runs"), owned(layout):
            pass
    assert owner(layout) is None
    assert not stop_owner(layout)


def test_the_owner_is_asked_to_stop_and_waited_for(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from local.layout import Layout;"
        "from local.running import owned; from local.stopping import interrupt_once\n"
        "interrupt_once()\n"
        "try:\n"
        "    with owned(Layout.at(Path(sys.argv[1]))):\n"
        "        print('owned', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(3)\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"owned\n"
        assert owner(Layout.at(tmp_path)) == child.pid
        assert stop_owner(Layout.at(tmp_path), within=60)
        assert child.wait(60) == 3


def test_a_process_id_that_was_used_again_is_no_owner(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    (layout.run / "supervisor.json").write_text(f'{{"pid": {os.getpid()}, "born": "1"}}')
    assert owner(layout) is None


def test_only_the_first_request_to_end_interrupts() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        interrupt_once()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def test_the_state_folder_is_var_unless_named() -> None:
    assert state_root({}) == repository_root() / "var"
    assert state_root({"SIGHTLINE_VAR": "/srv/sightline"}) == Path("/srv/sightline")
