"""The engines by themselves, on tensors that are ready: what a stage is compared with.

Nothing of the product is used here but the one core that OpenVINO may have in a process: these are
the runtimes as their manuals call them, with as many threads as the stage's engine has.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]
Bare = Callable[[Tensor], object]


def bare_engine(engine: str, network: Path, weights: Path | None, *, threads: int) -> Bare:
    """A call that runs a network on a batch; a file exported for one picture runs one by one.

    Args:
        engine: onnxruntime or openvino.
        network: `.onnx` or `.xml`.
        weights: `.bin` of an `.xml`.
        threads: of one run.

    Raises:
        ValueError: the engine is another.
    """
    if engine == "onnxruntime":
        return _onnxruntime(network, threads)
    if engine == "openvino":
        return _openvino(network, weights, threads)
    raise ValueError(f"no bare {engine} here")


def _onnxruntime(network: Path, threads: int) -> Bare:
    import onnxruntime  # noqa: PLC0415 -- only where it is measured

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    [source] = session.get_inputs()

    def run(batch: Tensor) -> object:
        return session.run(None, {source.name: batch})

    return _one_by_one(run) if source.shape[0] == 1 else run


def _openvino(network: Path, weights: Path | None, threads: int) -> Bare:
    from inference.openvino_core import process_core  # noqa: PLC0415 -- only where it is measured

    core = process_core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    requests: dict[tuple[int, ...], Any] = {}

    def run(batch: Tensor) -> object:
        request = requests.get(batch.shape)
        if request is None:
            model = core.read_model(network, weights) if weights else core.read_model(network)
            model.reshape(list(batch.shape))
            request = core.compile_model(model, "CPU", settings).create_infer_request()
            requests[batch.shape] = request
        return request.infer([batch], share_inputs=True, share_outputs=True)

    fixed = core.read_model(network, weights) if weights else core.read_model(network)
    first = fixed.inputs[0].partial_shape[0]
    alone = network.suffix == ".onnx" and first.is_static and first.get_length() == 1
    return _one_by_one(run) if alone else run


def _one_by_one(run: Bare) -> Bare:
    return lambda batch: [run(batch[index : index + 1]) for index in range(len(batch))]
