"""What goes into a network and what is made of its answer; no model file is needed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.recognition.tests.arranging import FakeEmbedder

from inference.engine import EngineInfo, Outputs, Tensor
from mesh.errors import ConfigurationError
from mesh.events import FaceChip, Point
from mesh.models import InputSpec
from recognition.adapters.network_embedder import NetworkEmbedder, sample, tensor
from recognition.domain.alignment import ARCFACE_112, OMZ_128, Template
from recognition.domain.embedding import is_zero

PLAIN = InputSpec(width=0, height=0)
IMAGENET = InputSpec(
    width=112,
    height=112,
    colour="RGB",
    mean=(123.675, 116.28, 103.53),
    scale=(58.395, 57.12, 57.375),
)


class Means:
    """A vector of eight means of each picture's input."""

    info = EngineInfo(engine="none", device="CPU", precision="f32")

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: Tensor) -> Outputs:
        self.sizes.append(len(batch))
        bands = np.stack(np.array_split(batch, 8, axis=2)[:7], axis=1).mean(axis=(2, 3, 4))
        whole = batch.mean(axis=(1, 2, 3))[:, None]
        return {"vector": np.concatenate([bands, whole], axis=1)[:, :, None, None]}

    def close(self) -> None:
        pass


def embedder(template: Template = OMZ_128, shape: InputSpec = PLAIN) -> NetworkEmbedder:
    return NetworkEmbedder(Means(), info=FakeEmbedder().info, template=template, shape=shape)


def chip(seed: int, size: int = 96) -> FaceChip:
    noise = np.random.default_rng(seed).integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    picture = cv2.resize(noise, (size, size))
    places = OMZ_128.array() * size / 128 + seed % 3
    return FaceChip(
        image=cv2.imencode(".png", picture)[1].tobytes(),
        width=size,
        height=size,
        landmarks=tuple(Point(x=x, y=y) for x, y in places.tolist()),
    )


def test_colours_and_normalisation_are_what_the_model_was_trained_with() -> None:
    face = np.empty((1, 112, 112, 3), np.uint8)
    face[:] = (10, 100, 200)
    assert tensor(face, PLAIN)[0, :, 9, 9].tolist() == [10, 100, 200]
    expected = [(200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (10 - 103.53) / 57.375]
    assert tensor(face, IMAGENET)[0, :, 9, 9] == pytest.approx(expected, rel=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([40, 96, 224])), min_size=1, max_size=9),
    st.sampled_from([(OMZ_128, PLAIN), (ARCFACE_112, IMAGENET)]),
)
def test_a_batch_of_mixed_sizes_gives_what_single_calls_give_in_order(
    faces: list[tuple[int, int]], model: tuple[Template, InputSpec]
) -> None:
    ours = embedder(*model)
    chips = [chip(seed, size) for seed, size in faces]
    alone = np.concatenate([ours.embed([one]) for one in chips])
    assert np.allclose(ours.embed(chips), alone, atol=1e-6)


def test_chips_that_cannot_be_used_are_rows_of_zeros_in_their_places() -> None:
    good = chip(1)
    broken = (
        replace(good, image=b"nonsense"),
        replace(good, landmarks=good.landmarks[:1] * 5),
        replace(good, landmarks=()),
    )
    rows = embedder().embed([broken[0], good, broken[1], good, broken[2]])
    assert [is_zero(row) for row in rows] == [True, False, True, False, True]
    assert (rows[1] == rows[3]).all()


def test_a_crowd_is_embedded_in_calls_of_bounded_size() -> None:
    engine = Means()
    ours = NetworkEmbedder(engine, info=FakeEmbedder().info, template=OMZ_128, shape=PLAIN)
    engine.sizes.clear()
    rows = ours.embed([chip(seed) for seed in range(10)] * 15)
    assert engine.sizes == [64, 64, 22]
    assert np.allclose(rows[140:], rows[:10], atol=1e-6)


def test_nothing_reaches_the_engine_without_a_face() -> None:
    engine = Means()
    ours = NetworkEmbedder(engine, info=FakeEmbedder().info, template=OMZ_128, shape=PLAIN)
    engine.sizes.clear()
    assert ours.embed([]).shape == (0, 8)
    assert not ours.embed([replace(chip(0), image=b"")]).any()
    assert engine.sizes == []


def test_a_network_of_another_embedding_size_refuses_the_start() -> None:
    info = replace(FakeEmbedder().info, dim=512)
    with pytest.raises(ConfigurationError, match="512 numbers"):
        NetworkEmbedder(Means(), info=info, template=OMZ_128, shape=PLAIN)


def test_the_sample_is_one_face_of_the_template_and_always_the_same() -> None:
    first = sample(ARCFACE_112, IMAGENET)
    assert first.shape == (1, 3, 112, 112)
    assert (first == sample(ARCFACE_112, IMAGENET)).all()
