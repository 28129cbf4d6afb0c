import subprocess
from pathlib import Path

import pytest

from local.commands import _follow
from local.layout import Layout


@pytest.mark.parametrize("runs", [True, False])
def test_all_that_a_start_said_is_shown_however_late_somebody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, runs: bool
) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    log = layout.log / "demo.log"
    log.write_text("Enrolling Grace Hopper\n" + ("Started in 3 s.\nThe page\n" if runs else ""))
    if runs:
        layout.demo.write_text("{}")
    with subprocess.Popen(["true"]) as child:
        child.wait(60)
        assert _follow(log, child, layout) is runs
    assert capsys.readouterr().out == "Enrolling Grace Hopper\n"
