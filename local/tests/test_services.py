from pathlib import Path

import pytest

from local.installation import Plan
from local.layout import Layout
from local.process import ProcessSpec
from local.services import INFRASTRUCTURE, SERVICE_NAMES, processes
from mesh.errors import ConfigurationError

# Ports are probed on the loopback interface.
pytestmark = pytest.mark.usefixtures("socket_enabled")


def _processes(tmp_path: Path, **instances: int) -> dict[str, ProcessSpec]:
    specs = processes(
        layout=Layout.at(tmp_path),
        instances=instances,
        gateway_port=8080,
        shared={"SIGHTLINE_LOG_LEVEL": "INFO"},
        own={"detection": {"SIGHTLINE_LOG_LEVEL": "DEBUG"}},
    )
    return {spec.name: spec for spec in specs}


def test_every_service_runs_once_unless_told_otherwise(tmp_path: Path) -> None:
    assert sorted(_processes(tmp_path)) == sorted(SERVICE_NAMES)
    found = _processes(tmp_path, detection=3, camera=0)
    assert [name for name in found if name.startswith("detection")] == [
        "detection", "detection-2", "detection-3",
    ]  # fmt: skip
    assert "camera" not in found


def test_instances_share_settings_but_no_identity_port_or_folder(tmp_path: Path) -> None:
    found = _processes(tmp_path, detection=2)
    first, second = found["detection"].environment, found["detection-2"].environment
    assert first["SIGHTLINE_LOG_LEVEL"] == "DEBUG"
    assert found["writer"].environment["SIGHTLINE_LOG_LEVEL"] == "INFO"
    for name in ("SIGHTLINE_INSTANCE_ID", "SIGHTLINE_HEALTH_PORT", "SIGHTLINE_DATA_DIR"):
        assert first[name] != second[name]


def test_the_roles_of_results_are_processes_of_their_own(tmp_path: Path) -> None:
    found = _processes(tmp_path)
    for role in ("gateway", "writer", "keeper"):
        assert found[role].command[-3:] == ("-m", "results", role)
        assert found[role].after == INFRASTRUCTURE


def test_a_plan_for_an_unknown_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no service detector; there are recognition"):
        Plan(layout=Layout.at(tmp_path), instances={"detector": 2})


def test_only_what_no_frame_waits_for_stands_back(tmp_path: Path) -> None:
    behind = {name for name, spec in _processes(tmp_path).items() if spec.niceness}
    assert behind == {"writer", "keeper"}
