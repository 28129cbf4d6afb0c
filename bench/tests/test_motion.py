"""What the motion gate's benchmark shows to cameras, and how it sums up."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bench.farm import make_clip
from bench.mesh_soak import SERVICES
from bench.motion import THRESHOLD, rows, saved
from camera.domain.motion import MotionGate


def a_run(scene: str, camera: float, *, gate: bool) -> dict[str, Any]:
    shares = dict.fromkeys(SERVICES, 0.0) | {"camera": camera, "kafka": 0.5}
    return {"scene": scene, "gate": gate, "analysed_fps": 10 * camera, "cpu_share": shares}


def test_runs_of_a_kind_are_averaged_and_the_broker_is_no_service() -> None:
    runs = [
        a_run("quiet", 0.5, gate=False),
        a_run("quiet", 0.1, gate=True),
        a_run("busy", 0.4, gate=False),
        a_run("busy", 0.5, gate=True),
        a_run("quiet", 0.3, gate=False),
        a_run("quiet", 0.1, gate=True),
    ]
    found = rows(runs)
    assert [(row["scene"], row["gate"]) for row in found] == [
        ("quiet", False), ("quiet", True), ("busy", False), ("busy", True),
    ]  # fmt: skip
    assert [row["services"] for row in found] == [0.4, 0.1, 0.4, 0.5]
    assert found[0]["all"] == 0.9
    assert found[0]["analysed_fps"] == 4.0
    assert saved(found) == {"quiet": 0.75, "busy": -0.25}


@pytest.mark.parametrize("moving", [False, True])
def test_nothing_but_noise_differs_in_a_quiet_scene(tmp_path: Path, *, moving: bool) -> None:
    clip, gate = tmp_path / "clip.mp4", MotionGate(THRESHOLD, refresh=60.0)
    make_clip(clip, 5, moving=moving)
    with av.open(str(clip)) as container:
        frames = [
            frame.reformat(width=128, height=72, format="gray").to_ndarray().astype(np.uint8)
            for frame in container.decode(video=0)
        ]
    quiet = [gate.is_quiet(frame, index / 5) for index, frame in enumerate(frames)]
    assert quiet == [index > 0 and not moving for index in range(len(frames))]
