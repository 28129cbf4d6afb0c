"""Networks on torch: half precision, compiled, one CUDA graph per batch size.

Nothing here has run on a GPU yet: this project's machines have none. What is not CUDA itself runs
in the tests on torch's CPU device; the test of CUDA is marked `gpu`, `python -m bench inference
--device GPU-0` measures it, and at start the outputs are compared with onnxruntime's like any
other engine's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnx
import onnx2torch
import onnxslim
import torch
from google.protobuf.message import DecodeError

from inference.batch_axis import checked, probe
from inference.batching import portions, prepared
from inference.engine import EngineError, EngineInfo, EngineOptions, Outputs, Tensor
from inference.rewriting import batchable
from inference.torch_places import Card, Place, Prepared, Shape, listed
from mesh.errors import ConfigurationError

_REFUSALS = (RuntimeError, NotImplementedError, ValueError, DecodeError, EngineError)


class TorchEngine:
    """Runs an ONNX file as a torch module on one device.

    Inputs of the announced size run in batches of prepared sizes (1, 2, 4, …), each a CUDA graph
    of the compiled module; other sizes run eagerly, which is slower but compiles nothing. A
    network that mixes the items of a batch runs one by one.
    """

    def __init__(
        self,
        network: Path,
        options: EngineOptions | None = None,
        *,
        sides: Sequence[int] = (),
        place: Place | None = None,
    ) -> None:
        """Convert, compile and capture; takes up to half a minute per prepared batch size.

        Args:
            network: ONNX file with one input of four axes.
            options: GPU-<n>; batch sizes up to its `max_batch` are prepared.
            sides: the announced size: channels, height, width; empty: nothing is prepared.
            place: to compute on instead of the options' GPU.

        Raises:
            ConfigurationError: there is no such GPU, or the network cannot be converted.
        """
        wanted = options or EngineOptions(device="GPU-0")
        self.place = place or Card(wanted.device)
        self.info = EngineInfo(
            engine="torch", device=self.place.name, precision=self.place.precision
        )
        self._lock = Lock()
        self._prepared: Mapping[Shape, Prepared] = {}
        try:
            batched = self._convert(network, sides)
        except _REFUSALS as error:
            raise ConfigurationError(
                f"{network.name} cannot be converted to torch: {error}"
            ) from error
        try:
            self._prepare(sides, wanted.max_batch if batched else 1)
        except RuntimeError as error:
            raise ConfigurationError(f"{network.name}: torch cannot prepare it: {error}") from error

    @property
    def device(self) -> Any:
        """The torch.device that it computes on."""
        return self.place.device

    def run(self, batch: Tensor) -> Outputs:
        """Every output for a batch; see `Engine.run`.

        Raises:
            EngineError: torch refuses this input or failed on it.
        """
        items = np.require(checked(batch), requirements="W")  # else torch warns
        found = self.run_on_device(torch.from_numpy(items))
        with _told():
            return {name: values.cpu().numpy() for name, values in found.items()}

    def run_on_device(self, items: Any) -> Mapping[str, Any]:
        """`run` without the host; see `DeviceEngine.run_on_device`.

        Raises:
            EngineError: torch refuses this input or failed on it.
        """
        if items.ndim != 4 or not items.numel():
            raise EngineError(f"expected (n, channels, height, width), got {tuple(items.shape)}")
        with _told(), self._lock, torch.inference_mode(), self.place.active():
            there = items.to(self.device)
            parts = [
                self._part(there[start : start + size], bucket)
                for start, size, bucket in portions(len(there), self._buckets)
            ]
            joined = (
                parts[0]
                if len(parts) == 1
                else [torch.cat(one) for one in zip(*parts, strict=True)]
            )
        return dict(zip(self._outputs, joined, strict=True))

    def close(self) -> None:
        """Free the graphs and the weights."""
        self._prepared = {}
        del self._module
        self.place.free()

    def _convert(self, network: Path, sides: Sequence[int]) -> bool:
        """Make a module of the file; whether it may be given several items at once."""
        model = onnxslim.slim(batchable(onnx.load(network)))
        self._outputs = [output.name for output in model.graph.output]
        module = onnx2torch.convert(model).eval()
        axes = model.graph.input[0].type.tensor_type.shape.dim
        first, *rest = [axis.dim_value or None for axis in axes]
        # In full precision: noise may be more than half precision can hold.
        axis = probe(partial(self._on_host, module), [first, *(sides or rest)])
        if axis.bare:
            raise ValueError(f"outputs without a batch axis: {', '.join(sorted(axis.bare))}")
        self._module = module.to(
            self.place.device, self.place.dtype, memory_format=torch.channels_last
        )
        return axis.batched

    def _on_host(self, module: Any, batch: Tensor) -> Outputs:
        with _told(), torch.inference_mode():
            found = listed(module(torch.from_numpy(batch)))
        return {name: out.numpy() for name, out in zip(self._outputs, found, strict=True)}

    def _prepare(self, sides: Sequence[int], max_batch: int) -> None:
        self._buckets = prepared(max_batch)
        shapes = [(size, *sides) for size in self._buckets if sides]
        with torch.inference_mode(), self.place.active():
            self._prepared = self.place.prepare(self._module, shapes)

    def _part(self, items: Any, bucket: int) -> list[Any]:
        captured = self._prepared.get((bucket, *items.shape[1:]))
        found = self._eagerly(items) if captured is None else captured.replay(items)
        return [
            value[: len(items)].to(torch.float32, copy=True, memory_format=torch.contiguous_format)
            for value in found
        ]

    def _eagerly(self, items: Any) -> list[Any]:
        return listed(self._module(items.to(self.place.dtype, memory_format=torch.channels_last)))


@contextmanager
def _told() -> Iterator[None]:
    """What torch raises, as an error of an engine."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"torch: {error}") from error
