"""What a service installs, by the lock: ML libraries only where models run (design, promise 6)."""

import tomllib
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[2] / "uv.lock"
ML = {"dlib-bin", "insightface", "onnxruntime", "opencv-python-headless", "openvino", "torch"}


def installed(member: str) -> set[str]:
    """Every distribution that a member brings along, without its extras."""
    packages = {item["name"]: item for item in tomllib.loads(LOCK.read_text())["package"]}
    found: set[str] = set()
    waiting = [member]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needed = packages[name].get("dependencies", ())
            waiting += [item["name"] for item in needed]
    return found


@pytest.mark.parametrize("member", ["camera", "aggregator", "results"])
def test_a_service_without_models_installs_no_ml_library(member: str) -> None:
    assert installed(member) & ML == set()


@pytest.mark.parametrize("member", ["detection", "recognition"])
def test_a_service_with_models_installs_no_gpu_library(member: str) -> None:
    brought = installed(member)

    assert brought & ML
    assert not {name for name in brought if name.startswith(("torch", "nvidia-", "triton"))}


def test_mesh_itself_stays_free_of_services_and_models() -> None:
    assert installed("mesh") & (ML | {"camera", "detection", "recognition", "numpy"}) == set()
