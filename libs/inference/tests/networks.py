"""Small networks for the tests, with the virtues and vices of public exports."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET = 17
Sides = list[str | int]


def _write(path: Path, nodes: list[onnx.NodeProto], sides: Sides, outputs: list[str]) -> Path:
    generator = np.random.default_rng(5)
    weights = [
        numpy_helper.from_array(generator.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array([-1, 4], np.int64), "rows"),
        numpy_helper.from_array(np.array([1, 96], np.int64), "row"),
        numpy_helper.from_array(np.array([1, 8], np.int64), "eight"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.save(model, path)
    return path


def _convolution(output: str = "map") -> onnx.NodeProto:
    return helper.make_node("Conv", ["picture", "w"], [output], pads=[1, 1, 1, 1])


def honest(folder: Path) -> Path:
    """Any batch and size; a map and its mean."""
    mean = helper.make_node("ReduceMean", ["map"], ["mean"], axes=[2, 3], keepdims=0)
    return _write(
        folder / "honest.onnx", [_convolution(), mean], ["n", 3, "h", "w"], ["map", "mean"]
    )


def single(folder: Path) -> Path:
    """A batch of one, as stock detectors are exported: the output has no batch axis."""
    nodes = [
        _convolution(),
        helper.make_node("Transpose", ["map"], ["last"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["last", "rows"], ["cells"]),
    ]
    return _write(folder / "single.onnx", nodes, [1, 3, 32, 48], ["cells"])


def flattening(folder: Path) -> Path:
    """Any batch at its input, but the output runs the pictures' cells together."""
    nodes = [
        _convolution(),
        helper.make_node("Transpose", ["map"], ["last"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["last", "rows"], ["cells"]),
    ]
    return _write(folder / "flattening.onnx", nodes, ["n", 3, "h", "w"], ["cells"])


def mixing(folder: Path) -> Path:
    """Any batch, every shape in order, and each picture sees the others."""
    nodes = [
        _convolution(),
        helper.make_node("ReduceMean", ["map"], ["others"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["map", "others"], ["difference"]),
        helper.make_node("Add", ["difference", "map"], ["mixed"]),
    ]
    return _write(folder / "mixing.onnx", nodes, ["n", 3, "h", "w"], ["mixed"])


def pyramid(folder: Path) -> Path:
    """A batch of one that is enlarged to a computed size, then flattened."""
    nodes = [
        helper.make_node("Conv", ["picture", "w"], ["fine"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["fine"], ["coarse"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["fine"], ["sides"]),
        helper.make_node(
            "Resize",
            ["coarse", "", "", "sides"],
            ["enlarged"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        helper.make_node("Add", ["fine", "enlarged"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["last"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["last", "rows"], ["cells"]),
    ]
    return _write(folder / "pyramid.onnx", nodes, [1, 3, "h", "w"], ["cells"])


def embedding(folder: Path) -> Path:
    """A batch of one, as small embedders are exported: a vector by a reshape to one row."""
    nodes = [
        _convolution(),
        helper.make_node("MaxPool", ["map"], ["coarse"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["coarse", "row"], ["vector"]),
    ]
    return _write(folder / "embedding.onnx", nodes, [1, 3, 32, 48], ["vector"])


def small_embedder(folder: Path) -> Path:
    """A batch of one and any size, eight numbers a picture."""
    nodes = [
        helper.make_node("Conv", ["picture", "w"], ["map"], strides=[3, 3]),
        helper.make_node("Relu", ["map"], ["bright"]),
        helper.make_node("ReduceMean", ["map"], ["mean"], axes=[2, 3], keepdims=1),
        helper.make_node("ReduceMean", ["bright"], ["above"], axes=[2, 3], keepdims=1),
        helper.make_node("Concat", ["mean", "above"], ["both"], axis=1),
        helper.make_node("Reshape", ["both", "eight"], ["vector"]),
    ]
    return _write(folder / "small.onnx", nodes, [1, 3, "h", "w"], ["vector"])


def eight_at_once(folder: Path) -> Path:
    """A fixed batch of eight."""
    return _write(folder / "eight.onnx", [_convolution()], [8, 3, 32, 32], ["map"])


NETWORKS = (honest, single, flattening, mixing, embedding)
