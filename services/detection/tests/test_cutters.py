"""One contract for whatever cuts faces out of pictures."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.adapters.jpeg import OpenCvFaceCutter
from detection.domain.chip import ChipWindow
from detection.domain.face import Image, Picture, RawFace
from detection.ports import ChipCut, FaceCutter, FaceView
from mesh.events import BoundingBox

BEYOND = (
    ChipWindow(x=-40, y=-30, side=120),
    ChipWindow(x=150, y=100, side=120),
    ChipWindow(x=-50, y=-50, side=400),
)


def picture(width: int = 200, height: int = 150) -> Picture:
    ramp = np.linspace(20, 220, width, dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)))


def decoded(chip: bytes) -> Picture:
    image = cv2.imdecode(np.frombuffer(chip, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    pixels: Picture = image.astype(np.uint8)
    return pixels


def a_view(image: Image, box: BoundingBox) -> FaceView:
    return FaceView(image, RawFace(box=box, confidence=1.0, landmarks=()))


class FaceCutterContract:
    """What every cutter does; a subclass gives the fixture `cutter`, and may move pictures."""

    alike = 0
    """Levels by which pixels of a batch may differ from those of single calls."""

    @staticmethod
    def placed(image: Picture) -> Image:
        """The picture where the cutter would find it."""
        return image

    def chip(self, cutter: FaceCutter, window: ChipWindow, *, size: int, quality: int) -> bytes:
        [chip] = cutter.chips([ChipCut(self.placed(picture()), window, size)], quality=quality)
        return chip

    def test_nothing_is_cut_of_no_faces(self, cutter: FaceCutter) -> None:
        assert not len(cutter.chips([], quality=92))
        assert not len(cutter.grey([]))

    def test_a_chip_is_a_jpeg_without_chroma_subsampling(self, cutter: FaceCutter) -> None:
        chip = self.chip(cutter, ChipWindow(x=10, y=10, side=100), size=80, quality=92)
        assert decoded(chip).shape == (80, 80, 3)
        frame = chip.index(b"\xff\xc0")
        assert chip[frame + 11] == 0x11  # sampling factors of the first component: 1 x 1

    def test_a_chip_shows_its_window(self, cutter: FaceCutter) -> None:
        window = ChipWindow(x=50, y=20, side=100)
        chip = decoded(self.chip(cutter, window, size=100, quality=95))
        assert np.abs(chip.astype(int) - picture()[20:120, 50:150].astype(int)).max() <= 4

    @pytest.mark.parametrize("window", BEYOND)
    def test_a_window_beyond_the_picture_is_padded_with_its_edge(
        self, cutter: FaceCutter, window: ChipWindow
    ) -> None:
        chip = decoded(self.chip(cutter, window, size=100, quality=95))
        assert chip.shape == (100, 100, 3)
        left = picture()[0, max(window.x, 0), 0]
        assert abs(int(chip[50, 0, 0]) - int(left)) <= 6

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        x=st.floats(0, 199.5),
        y=st.floats(0, 149.5),
        width=st.floats(0.2, 200),
        height=st.floats(0.2, 200),
    )
    def test_any_box_in_the_picture_can_be_measured(
        self, cutter: FaceCutter, x: float, y: float, width: float, height: float
    ) -> None:
        box = BoundingBox(x1=x, y1=y, x2=min(x + width, 200.0), y2=min(y + height, 150.0))
        [grey] = cutter.grey([a_view(self.placed(picture()), box)])
        assert grey.shape == (112, 112)
        assert grey.dtype == np.uint8

    def test_a_batch_gives_what_single_calls_give_in_order(
        self, cutter: FaceCutter, astronaut: Picture, hopper: Picture
    ) -> None:
        images = [self.placed(astronaut), self.placed(hopper), self.placed(astronaut)]
        windows = [*BEYOND, ChipWindow(x=160, y=60, side=300), ChipWindow(x=30, y=40, side=90)]
        cuts = [
            ChipCut(image, window, min(window.side, 224)) for image in images for window in windows
        ]
        chips = cutter.chips(cuts, quality=92)
        alone = [cutter.chips([cut], quality=92)[0] for cut in cuts]
        self.assert_alike([decoded(one) for one in chips], [decoded(one) for one in alone])
        boxes = [BoundingBox(x1=20, y1=30, x2=60, y2=81), BoundingBox(x1=5, y1=9, x2=400, y2=490)]
        views = [a_view(image, box) for image in images for box in boxes]
        self.assert_alike(cutter.grey(views), [cutter.grey([view])[0] for view in views])

    def assert_alike(self, found: Sequence[Picture], expected: Sequence[Picture]) -> None:
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= self.alike


class TestOpenCvFaceCutter(FaceCutterContract):
    @pytest.fixture
    def cutter(self) -> FaceCutter:
        return OpenCvFaceCutter()
