"""Faces that stay on torch's device, here its CPU; no model file is needed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.inference.tests import networks
from services.recognition.tests.arranging import FakeEmbedder
from services.recognition.tests.test_network_embedder import IMAGENET, PLAIN, chip
from typing_extensions import override

pytest.importorskip("torch", reason="the extra inference[torch] is not installed")

from inference.chain import Chain
from inference.engine import Engine, EngineError, EngineOptions
from inference.links import Link
from inference.onnx_engine import OnnxEngine
from inference.torch_engine import TorchEngine
from inference.torch_places import Host
from mesh.clock import SystemClock
from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from mesh.model_status import ModelMeter
from mesh.models import InputSpec
from recognition.adapters.device_embedder import DeviceEmbedder
from recognition.adapters.fallback import FallbackEmbedder
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.adapters.model_pack import embedder_of
from recognition.adapters.network_embedder import NetworkEmbedder
from recognition.domain.alignment import ARCFACE_112, OMZ_128, Template
from recognition.domain.embedding import is_zero
from recognition.ports import FaceEmbedder

MODELS = [(OMZ_128, PLAIN), (ARCFACE_112, IMAGENET)]


class BreakableHost(Host):
    """A device that can be lost."""

    lost = False

    @override
    def active(self) -> AbstractContextManager[object]:
        @contextmanager
        def failing() -> Iterator[None]:
            if self.lost:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            yield

        return failing()


def engine(folder: Path, template: Template, place: Host | None = None) -> TorchEngine:
    sides = (3, template.size, template.size)
    options = EngineOptions(max_batch=4)
    path = networks.small_embedder(folder)
    return TorchEngine(path, options, sides=sides, place=place or Host())


def made_of(engine: Engine, template: Template, shape: InputSpec) -> FaceEmbedder:
    info = replace(FakeEmbedder().info, engine=engine.info.engine, device=engine.info.device)
    return embedder_of(engine, info=info, template=template, shape=shape)


def odd_chips() -> list[FaceChip]:
    """PNG as the other chips are, and what else may be in one."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(chip(1).image, np.uint8), cv2.IMREAD_COLOR))
    grey = cv2.imencode(".jpg", pixels[..., 0])[1].tobytes()
    whole = cv2.imencode(".jpg", pixels)[1].tobytes()
    return [replace(chip(1), image=data) for data in (whole, grey, whole[:-50])]


@pytest.mark.parametrize("model", MODELS, ids=["BGR", "RGB"])
def test_faces_become_the_vectors_of_the_way_over_the_host(
    model: tuple[Template, InputSpec], tmp_path: Path
) -> None:
    ours = made_of(engine(tmp_path, model[0]), *model)
    other = made_of(OnnxEngine(networks.small_embedder(tmp_path)), *model)
    assert isinstance(ours, DeviceEmbedder)
    assert isinstance(other, NetworkEmbedder)
    chips = [*odd_chips(), *(chip(seed, size) for seed in range(5) for size in (40, 96, 224))]
    assert np.allclose(ours.embed(chips), other.embed(chips), atol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=["BGR", "RGB"])
def test_a_batch_of_mixed_sizes_gives_what_single_calls_give_in_order(
    model: tuple[Template, InputSpec], tmp_path: Path
) -> None:
    ours = made_of(engine(tmp_path, model[0]), *model)
    chips = [*odd_chips(), *(chip(seed, 40 + 30 * seed) for seed in range(6))]
    alone = np.concatenate([ours.embed([one]) for one in chips])

    @settings(deadline=None, max_examples=20)
    @given(st.lists(st.integers(0, len(chips) - 1), min_size=1, max_size=11))
    def batch_equals_single(chosen: list[int]) -> None:
        rows = ours.embed([chips[index] for index in chosen])
        assert np.allclose(rows, alone[chosen], atol=1e-5)

    batch_equals_single()


def test_chips_that_cannot_be_used_are_rows_of_zeros_in_their_places(tmp_path: Path) -> None:
    ours, good = made_of(engine(tmp_path, OMZ_128), OMZ_128, PLAIN), chip(1)
    nowhere = tuple(replace(point, x=float("nan")) for point in good.landmarks)
    broken = (
        replace(good, image=b"nonsense"),
        replace(good, image=b""),
        replace(good, landmarks=good.landmarks[:1] * 5),
        replace(good, landmarks=()),
        replace(good, landmarks=nowhere),
    )
    rows = ours.embed([good, *broken, good])
    assert [is_zero(row) for row in rows] == [False, True, True, True, True, True, False]
    assert (rows[0] == rows[6]).all()
    assert not ours.embed(broken).any()
    assert ours.embed([]).shape == (0, 8)


def test_a_crowd_keeps_its_order(tmp_path: Path) -> None:
    ours = made_of(engine(tmp_path, OMZ_128), OMZ_128, PLAIN)
    rows = ours.embed([chip(seed) for seed in range(10)] * 15)
    assert np.allclose(rows[140:], rows[:10], atol=1e-5)


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one output of 9 numbers"):
        DeviceEmbedder(
            engine(tmp_path, OMZ_128),
            info=replace(FakeEmbedder().info, dim=9),
            template=OMZ_128,
            shape=PLAIN,
        )


def test_a_device_that_is_lost_is_stood_in_for_and_counted(tmp_path: Path) -> None:
    place = BreakableHost()
    over_host = OnnxEngine(networks.small_embedder(tmp_path))

    def link(device: str, engine: Engine) -> Link[FaceEmbedder]:
        return Link(
            name=device,
            device=device,
            model_id="small",
            timeout=60,
            build=lambda: made_of(engine, OMZ_128, PLAIN),
        )

    chain: Chain[Any] = Chain(
        [link("GPU-0", engine(tmp_path, OMZ_128, place)), link("CPU", over_host)]
    )
    ours = FallbackEmbedder(chain, lambda: None)
    ours.warm_up()
    before = ours.embed([chip(1)])
    assert ours.info.engine == "torch"
    place.lost = True
    assert np.allclose(ours.embed([chip(1)]), before, atol=1e-4)
    assert ours.info.engine == "onnxruntime"
    assert ours.info.fallback_used
    meter = ModelMeter(SystemClock())
    alone = MeteredEmbedder(chain.tools[0], meter, SystemClock())
    with pytest.raises(EngineError, match="CUDA error"):
        alone.embed([chip(1)])
