"""What `make` gives every process that it starts."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local.layout import repository_root


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = subprocess.run(
        ["make", "--silent", "--eval=environment: ; @env", "environment"],
        cwd=repository_root(),
        env={**kept, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(line.partition("=")[::2] for line in told.stdout.splitlines())


def test_what_python_compiled_goes_to_the_state_folder_where_it_may_not_lie_beside_the_sources(
    tmp_path: Path,
) -> None:
    forbidden = {"PYTHONDONTWRITEBYTECODE": "1"}
    found = _environment(forbidden | {"SIGHTLINE_VAR": str(tmp_path)})
    assert found["PYTHONPYCACHEPREFIX"] == str(tmp_path / "cache" / "bytecode")
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert _environment(forbidden)["PYTHONPYCACHEPREFIX"] == str(
        repository_root() / "var" / "cache" / "bytecode"
    )
    own = _environment(forbidden | {"PYTHONPYCACHEPREFIX": "/elsewhere"})
    assert own["PYTHONPYCACHEPREFIX"] == "/elsewhere"
    assert "PYTHONPYCACHEPREFIX" not in _environment({})
