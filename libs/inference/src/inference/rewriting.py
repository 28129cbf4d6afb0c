"""Making ONNX exports for one picture take any number of pictures.

Stock detectors of InsightFace end in `Transpose (h, w, n, c)` and `Reshape (-1, c)`, which mixes
the pictures of a batch; their pyramids enlarge to sizes that are computed at run time. The same
weights with `Transpose (n, h, w, c)`, `Reshape (n, -1, c)` and a fixed factor of two give for
every picture what it gives alone, and convert to torch. Embedders end in `Reshape (1, c)`.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

_MIXING = [2, 3, 0, 1]
_KEEPING = [0, 2, 3, 1]


def batchable(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose first axis counts pictures, at the input and at every output.

    Args:
        model: with one input (n, channels, height, width); its outputs may have lost the axis of
            the batch by the ending that is described above.

    Raises:
        ValueError: it takes a fixed number of several pictures, or its ending is another one.
    """
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    if fixed > 1:
        raise ValueError(f"a network must take (n, …) with n free or 1, not {fixed}")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    _free(graph.input[0], axes=(0,))
    for node in graph.node:
        if node.op_type == "Resize":
            _double(graph, node)
        if node.op_type == "Transpose" and list(node.attribute[0].ints) == _MIXING:
            _keep_pictures(graph, node)
    for node in graph.node:
        if node.op_type == "Reshape":
            _follow_batch(graph, node)
    for output in graph.output:
        _forget_shape(output)
    del graph.value_info[:]  # they told the shapes of before
    return copy


def _free(value: onnx.ValueInfoProto, axes: tuple[int, ...]) -> None:
    for axis in axes:
        value.type.tensor_type.shape.dim[axis].dim_param = f"free_{axis}"


def _forget_shape(value: onnx.ValueInfoProto) -> None:
    value.type.tensor_type.ClearField("shape")


def _double(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Enlarge by two whatever the size, if the node enlarges to a computed size."""
    if len(node.input) < 4 or not node.input[3]:
        return
    name = f"{node.name or node.output[0]}.twice"
    scales = np.array([1, 1, 2, 2], np.float32)
    graph.initializer.append(numpy_helper.from_array(scales, name))
    kept = list(node.input[:2])  # the picture, and a region that older versions insist on
    del node.input[:]
    node.input.extend([*kept, name])


def _keep_pictures(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Give (n, cells, channels) where the ending gave (cells of all, channels)."""
    reshapes = [
        other
        for other in graph.node
        if other.op_type == "Reshape" and other.input[0] == node.output[0]
    ]
    if not reshapes:
        return
    node.attribute[0].CopyFrom(helper.make_attribute("perm", _KEEPING))
    for reshape in reshapes:
        channels = _constant(graph, reshape.input[1])[-1]
        name = f"{reshape.name or reshape.output[0]}.cells"
        shape = np.array([0, -1, channels], np.int64)  # 0 keeps the axis of the batch
        graph.initializer.append(numpy_helper.from_array(shape, name))
        reshape.input[1] = name


def _follow_batch(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Let a reshape to a first axis of one follow the first axis of what comes."""
    fixed = {tensor.name for tensor in graph.initializer}
    try:
        first, *rest = _constant(graph, node.input[1])
    except ValueError:
        return
    if first != 1 or not rest or node.input[0] in fixed:
        return
    if -1 in rest and any(one.name == "allowzero" and one.i for one in node.attribute):
        return  # a 0 would not keep the axis
    name = f"{node.name or node.output[0]}.batch"
    shape = np.array([0 if -1 in rest else -1, *rest], np.int64)
    graph.initializer.append(numpy_helper.from_array(shape, name))
    node.input[1] = name


def _constant(graph: onnx.GraphProto, name: str) -> list[int]:
    for tensor in graph.initializer:
        if tensor.name == name:
            return [int(value) for value in numpy_helper.to_array(tensor)]
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            return [int(value) for value in numpy_helper.to_array(node.attribute[0].t)]
    raise ValueError(f"the shape {name} is computed; this ending is not known")
