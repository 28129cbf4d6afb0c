"""Networks on torch and CUDA: half precision, compiled, one CUDA graph per batch size.

Nothing here has run on a GPU yet: this project's machines have none. The test that runs it is
marked `gpu`, `python -m bench inference --device GPU-0` measures it, and at start the outputs are
compared with onnxruntime's like any other engine's.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnx
import onnx2torch
import onnxslim
import torch

from inference.batch_axis import checked
from inference.batching import padded, portions, prepared
from inference.engine import EngineError, EngineInfo, EngineOptions, Outputs, Tensor
from inference.rewriting import batchable
from mesh.errors import ConfigurationError

_WARM_RUNS = 3


class TorchEngine:
    """Runs an ONNX file as a torch module on one GPU.

    Inputs of the announced size run in batches of prepared sizes (1, 2, 4, …), each a CUDA graph
    of the compiled module; other sizes run eagerly, which is slower but compiles nothing.
    """

    def __init__(
        self,
        network: Path,
        options: EngineOptions | None = None,
        *,
        sides: Sequence[int] = (),
    ) -> None:
        """Convert, compile and capture; takes up to half a minute per prepared batch size.

        Args:
            network: ONNX file with one input of four axes.
            options: GPU-<n>; batch sizes up to its `max_batch` are prepared.
            sides: the announced size: channels, height, width; empty: nothing is prepared.

        Raises:
            ConfigurationError: there is no such GPU, or the network cannot be converted.
        """
        wanted = options or EngineOptions(device="GPU-0")
        kind, _, number = wanted.device.partition("-")
        if kind != "GPU" or not torch.cuda.is_available():
            raise ConfigurationError(f"torch has no device {wanted.device}")
        self.info = EngineInfo(engine="torch", device=wanted.device, precision="f16")
        self._device = torch.device("cuda", int(number or 0))
        self._lock = Lock()
        try:
            model = onnxslim.slim(batchable(onnx.load(network)))
            self._outputs = [output.name for output in model.graph.output]
            module = onnx2torch.convert(model).eval().half()
            self._module = module.to(self._device, memory_format=torch.channels_last)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise ConfigurationError(
                f"{network.name} cannot be converted to torch: {error}"
            ) from error
        self._buckets = prepared(wanted.max_batch)
        self._graphs: dict[tuple[int, ...], _Captured] = {}
        try:
            self._prepare(sides)
        except RuntimeError as error:
            raise ConfigurationError(f"{network.name}: torch cannot prepare it: {error}") from error

    def run(self, batch: Tensor) -> Outputs:
        """Every output for a batch; see `Engine.run`.

        Raises:
            EngineError: torch refuses this input or failed on it.
        """
        items = checked(batch)
        try:
            with self._lock, torch.inference_mode(), torch.cuda.device(self._device):
                parts = [
                    self._part(items[start : start + size], bucket)
                    for start, size, bucket in portions(len(items), self._buckets)
                ]
        except RuntimeError as error:
            raise EngineError(f"torch: {error}") from error
        return {
            name: np.concatenate([part[index] for part in parts])
            for index, name in enumerate(self._outputs)
        }

    def close(self) -> None:
        """Free the graphs and the weights."""
        self._graphs.clear()
        del self._module
        torch.cuda.empty_cache()

    def _prepare(self, sides: Sequence[int]) -> None:
        compiled = torch.compile(self._module, dynamic=False)
        for shape in [(size, *sides) for size in self._buckets if sides]:
            self._graphs[shape] = _Captured(compiled, shape, self._device)

    def _part(self, items: Tensor, bucket: int) -> list[Tensor]:
        captured = self._graphs.get((bucket, *items.shape[1:]))
        if captured is None:
            found = _listed(self._module(_half(items, self._device)))
        else:
            found = captured.replay(_half(padded(items, bucket), self._device))
        return [value[: len(items)].float().cpu().numpy() for value in found]


class _Captured:
    """A CUDA graph of the module for one shape; its input and outputs are fixed memory."""

    def __init__(self, module: Any, shape: tuple[int, ...], device: Any) -> None:
        with torch.inference_mode(), torch.cuda.device(device):
            self._input = torch.zeros(shape, dtype=torch.half, device=device).contiguous(
                memory_format=torch.channels_last
            )
            # Compiling and the choice of algorithms must happen before the capture, on another
            # stream than the default one (torch.cuda.graph's documentation).
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_RUNS):
                    module(self._input)
            torch.cuda.current_stream().wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = _listed(module(self._input))

    def replay(self, batch: Any) -> list[Any]:
        """The outputs, valid until the next replay."""
        self._input.copy_(batch)
        self._graph.replay()
        return self._outputs


def _half(items: Tensor, device: Any) -> Any:
    return torch.from_numpy(items).to(device).half().contiguous(memory_format=torch.channels_last)


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
