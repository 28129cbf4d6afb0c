from pathlib import Path

import numpy as np
import onnx
import pytest
from libs.inference.tests import networks

from inference.onnx_engine import OnnxEngine
from inference.rewriting import batchable


def test_an_export_for_one_picture_takes_many_and_gives_the_same(tmp_path: Path) -> None:
    path = networks.pyramid(tmp_path)
    rewritten = tmp_path / "many.onnx"
    onnx.save(batchable(onnx.load(path)), rewritten)
    batch = np.random.default_rng(0).normal(0, 1, (5, 3, 32, 48)).astype(np.float32)
    one, many = OnnxEngine(path), OnnxEngine(rewritten)
    assert many._axis.batched
    assert not one._axis.batched
    assert np.allclose(many.run(batch)["cells"], one.run(batch)["cells"], atol=1e-5)
    assert np.allclose(many.run(batch)["cells"][2:3], many.run(batch[2:3])["cells"], atol=1e-5)


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
