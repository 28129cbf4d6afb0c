import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from libs.inference.tests import networks

from inference.onnx_engine import OnnxEngine
from inference.rewriting import batchable
from mesh.models import ModelRegistry, ModelStore


@pytest.mark.parametrize(
    ("network", "output"), [(networks.pyramid, "cells"), (networks.embedding, "vector")]
)
def test_an_export_for_one_picture_takes_many_and_gives_the_same(
    network: Callable[[Path], Path], output: str, tmp_path: Path
) -> None:
    path = network(tmp_path)
    rewritten = tmp_path / "many.onnx"
    onnx.save(batchable(onnx.load(path)), rewritten)
    batch = np.random.default_rng(0).normal(0, 1, (5, 3, 32, 48)).astype(np.float32)
    one, many = OnnxEngine(path), OnnxEngine(rewritten)
    assert many._axis.batched
    assert not one._axis.batched
    assert np.allclose(many.run(batch)[output], one.run(batch)[output], atol=1e-5)
    assert np.allclose(many.run(batch)[output][2:3], many.run(batch[2:3])[output], atol=1e-5)


def test_the_model_that_was_given_stays_as_it_is(tmp_path: Path) -> None:
    model = onnx.load(networks.pyramid(tmp_path))
    before = model.SerializeToString()
    batchable(model)
    assert model.SerializeToString() == before


def test_an_ending_with_a_computed_shape_is_refused(tmp_path: Path) -> None:
    model = onnx.load(networks.pyramid(tmp_path))
    model.graph.node[-1].input[1] = "sides"
    with pytest.raises(ValueError, match="computed"):
        batchable(model)


@pytest.mark.parametrize("model_id", ["scrfd-2.5g", "scrfd-500m"])
def test_stock_detectors_give_for_every_picture_of_a_batch_what_it_gives_alone(
    model_id: str, tmp_path: Path
) -> None:
    folder = os.environ.get("SIGHTLINE_MODELS_DIR")
    if folder is None:
        pytest.skip("SIGHTLINE_MODELS_DIR names no folder with SCRFD")
    model = ModelRegistry.load().models[model_id]
    (path,) = ModelStore(folder=Path(folder), cache=tmp_path).files(model).values()
    rewritten = tmp_path / "many.onnx"
    onnx.save(batchable(onnx.load(path)), rewritten)
    one, many = OnnxEngine(path), OnnxEngine(rewritten)
    side = 640 if model.input and model.input.width else 96
    batch = np.random.default_rng(1).normal(0, 1, (3, 3, side, side)).astype(np.float32)
    expected, found = one.run(batch), many.run(batch)
    assert many._axis.batched
    assert all(np.allclose(found[name], expected[name], atol=1e-3) for name in expected)
