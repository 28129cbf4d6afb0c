"""What goes into a network and what is made of its answer; no model file is needed."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.adapters.canvas import Canvas, letterbox
from detection.adapters.network_detector import FAMILIES, Family, NetworkDetector, sample
from detection.domain.face import Picture, RawFace
from detection.domain.letterbox import Letterbox
from detection.ports import ModelInfo
from inference.engine import EngineError, EngineInfo, Outputs, Tensor
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox
from mesh.models import InputSpec

INFO = ModelInfo(
    model_id="small",
    name="small",
    version="1",
    licence="MIT",
    sha256="",
    pack="test",
    device="CPU",
    engine="none",
)
PLAIN = InputSpec(width=0, height=0, multiple=32)
RGB = InputSpec(width=0, height=0, multiple=32, colour="RGB", mean=(127.5,) * 3, scale=(128.0,) * 3)
SQUARE = InputSpec(width=64, height=48)


class Brightness:
    """Tells the mean of each picture's input."""

    def __init__(self, device: str = "CPU") -> None:
        self.info = EngineInfo(engine="none", device=device, precision="f32")
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Tensor) -> Outputs:
        self.shapes.append(batch.shape)
        if batch.max() > 250:
            raise EngineError("too bright")
        return {"mean": batch.reshape(len(batch), -1).mean(axis=1, keepdims=True)}

    def close(self) -> None:
        pass


def one_face(
    heads: Mapping[str, NDArray[np.float32]],
    box: Letterbox,
    /,
    *,
    confidence: float,
    overlap: float,
) -> list[RawFace]:
    mean = float(heads["mean"][0])
    place = BoundingBox(x1=0, y1=0, x2=box.width, y2=box.height)
    return [RawFace(box=place, confidence=mean, landmarks=())]


FAMILY = Family(decode=one_face, confidence=0.5, overlap=0.5)


def detector(shape: InputSpec = PLAIN, family: Family = FAMILY) -> NetworkDetector:
    return NetworkDetector(Brightness(), info=INFO, family=family, shape=shape, long_side=128)


def picture(height: int, width: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), np.uint8)


def test_colours_and_normalisation_are_what_the_model_was_trained_with() -> None:
    image = np.empty((32, 32, 3), np.uint8)
    image[:] = (10, 100, 200)
    plain = Canvas(PLAIN).lay([image], [letterbox(image, PLAIN, 32)])
    assert plain[0, :, 5, 5].tolist() == [10, 100, 200]
    turned = Canvas(RGB).lay([image], [letterbox(image, RGB, 32)])
    expected = [(value - 127.5) / 128 for value in (200, 100, 10)]
    assert turned[0, :, 5, 5] == pytest.approx(expected)


def test_the_padding_is_black_before_it_is_normalised() -> None:
    image = picture(32, 40)
    box = letterbox(image, RGB, 40)
    assert (box.width, box.height) == (64, 32)
    frames = Canvas(RGB).lay([image], [box])
    assert frames[0, :, 0, 50] == pytest.approx([-127.5 / 128] * 3)


@given(
    st.sampled_from([PLAIN, RGB, SQUARE]),
    st.lists(
        st.lists(
            st.sampled_from([(36, 64), (34, 64), (64, 40), (64, 64), (48, 64)]),
            min_size=1,
            max_size=3,
        ),
        max_size=6,
    ),
)
def test_what_was_laid_before_never_shows(
    shape: InputSpec, calls: list[list[tuple[int, int]]]
) -> None:
    used = Canvas(shape)
    for number, sizes in enumerate(calls):
        images = [picture(*size, seed=number + seed) for seed, size in enumerate(sizes)]
        boxes = [letterbox(image, shape, 64) for image in images]
        first = (boxes[0].height, boxes[0].width)
        alike = [index for index, box in enumerate(boxes) if (box.height, box.width) == first]
        images, boxes = [images[i] for i in alike], [boxes[i] for i in alike]
        with pytest.raises(EngineError):
            used.lay([np.full(images[0].shape[:2], 255, np.uint8)], boxes[:1])
        assert (used.lay(images, boxes) == Canvas(shape).lay(images, boxes)).all()


def test_a_picture_keeps_its_aspect_in_an_input_of_one_size() -> None:
    box = letterbox(picture(90, 160), SQUARE, 640)
    assert (box.width, box.height) == (64, 48)
    assert (box.content_width, box.content_height) == (64, 36)


@given(
    st.lists(st.sampled_from([(36, 64), (72, 128), (90, 33), (64, 64)]), min_size=1, max_size=9),
    st.sampled_from([PLAIN, RGB, SQUARE]),
)
def test_a_batch_of_mixed_sizes_gives_what_single_calls_give_in_order(
    sizes: list[tuple[int, int]], shape: InputSpec
) -> None:
    ours = detector(shape)
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    assert ours.detect(images) == [ours.detect([image])[0] for image in images]


def test_pictures_of_one_letterbox_share_a_run() -> None:
    engine = Brightness()
    ours = NetworkDetector(engine, info=INFO, family=FAMILY, shape=PLAIN, long_side=128)
    engine.shapes.clear()
    ours.detect([picture(72, 128), picture(128, 72), picture(144, 256), picture(70, 120)])
    assert sorted(engine.shapes) == [(1, 3, 128, 96), (3, 3, 96, 128)]


@pytest.mark.parametrize(
    ("device", "most"), [("CPU", 8), ("GPU-0", 32), ("TENSORRT-0", 32), ("IGPU", 32)]
)
def test_a_gpu_is_given_more_at_once_whichever_way_leads_to_it(device: str, most: int) -> None:
    engine = Brightness(device)
    ours = NetworkDetector(engine, info=INFO, family=FAMILY, shape=PLAIN, long_side=128)
    engine.shapes.clear()
    ours.detect([picture(72, 128)] * 33)
    assert max(shape[0] for shape in engine.shapes) == most


def test_another_resolution_can_be_asked_for() -> None:
    (face,) = detector().detect([picture(180, 320)], long_side=320)[0]
    assert face.box.x2 == 320


def test_an_engine_that_refuses_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="too bright"):
        detector().detect([np.full((32, 32, 3), 255, np.uint8)])


def test_a_picture_without_three_channels_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="shape"):
        detector().detect([np.zeros((32, 32), np.uint8)])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_another_family_refuses_the_start(family: str) -> None:
    with pytest.raises(ConfigurationError, match="small: expected"):
        detector(family=FAMILIES[family])


def test_the_sample_has_the_usual_shape_and_is_always_the_same() -> None:
    first = sample(PLAIN, 640)
    assert first.shape == (1, 3, 384, 640)
    assert first.dtype == np.float32
    assert (first == sample(PLAIN, 640)).all()
