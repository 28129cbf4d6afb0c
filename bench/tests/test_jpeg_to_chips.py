"""The row from JPEG to chips, by a detector that computes nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bench.inference import goals
from bench.jpeg_to_chips import Amount, measure
from detection.adapters.jpeg import encoded
from detection.domain.face import Image, RawFace
from detection.ports import ModelInfo
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox, Point

PICTURE = encoded(np.full((720, 1280, 3), 90, np.uint8), 85)
PLACES = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.57), (0.33, 0.75), (0.67, 0.75))


class Finds:
    """So many faces in every picture."""

    info = ModelInfo(
        model_id="small",
        name="small",
        version="1",
        licence="",
        sha256="",
        pack="test",
        device="CPU",
        engine="none",
    )

    def __init__(self, count: int) -> None:
        self.faces = [
            RawFace(
                box=BoundingBox(x1=200 * n, y1=50, x2=200 * n + 100, y2=150),
                confidence=0.9,
                landmarks=tuple(Point(x=200 * n + 100 * x, y=50 + 100 * y) for x, y in PLACES),
            )
            for n in range(count)
        ]

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        return [list(self.faces) for _ in images]

    def warm_up(self) -> None:
        """Nothing to warm."""


def test_every_batch_has_a_row_and_says_where_pictures_lie() -> None:
    found = measure(Finds(4), [PICTURE], Amount(batches=(1, 3), rounds=1, seconds=0.0))
    assert found["pictures_on"] == "the host"
    assert [row["batch"] for row in found["rows"]] == [1, 3]
    assert all(row["frames_per_s"] > 0 for row in found["rows"])


def test_a_detector_that_misses_faces_has_no_figure() -> None:
    with pytest.raises(ConfigurationError, match="2 chips, not 4"):
        measure(Finds(2), [PICTURE], Amount(batches=(1,), rounds=1, seconds=0.0))


@pytest.mark.parametrize(("speed", "holds"), [(2999.0, False), (3001.0, True)])
def test_the_goal_is_about_gpus(speed: float, holds: bool) -> None:
    whole: dict[str, Any] = {"rows": [{"frames_per_s": 10.0}, {"frames_per_s": speed}]}
    report: dict[str, Any] = {"rows": [], "vs_insightface": None, "jpeg_to_chips": whole}
    assert list(goals(report | {"device": "GPU-0"}).values()) == [holds]
    assert not goals(report | {"device": "CPU"})
    assert not goals(report | {"device": "GPU-0", "jpeg_to_chips": {"reason": "no card"}})
