"""Where torch computes: a GPU in half precision, or the host in full.

No product chooses the host: onnxruntime and OpenVINO are faster there. It is for machines without
a GPU that want to see conversion, batches and everything around them right.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

from mesh.errors import ConfigurationError

Shape = tuple[int, ...]
_WARM_RUNS = 3


class Prepared(Protocol):
    """A module that was made ready for one shape; its input and outputs are fixed memory."""

    def replay(self, items: Any) -> list[Any]:
        """The outputs for at most as many items as the shape has, valid until the next replay."""


class Place(Protocol):
    """What torch computes on, and how."""

    @property
    def name(self) -> str:
        """The device as settings name it: CPU, GPU-0 and so on."""

    @property
    def precision(self) -> str:
        """f32 or f16."""

    @property
    def device(self) -> Any:
        """The torch.device."""

    @property
    def dtype(self) -> Any:
        """The torch.dtype of weights and inputs."""

    def active(self) -> AbstractContextManager[object]:
        """Around everything that computes here."""

    def prepare(self, module: Any, shapes: Iterable[Shape]) -> Mapping[Shape, Prepared]:
        """Make the module ready for inputs of these shapes."""

    def free(self) -> None:
        """Give back memory that nobody uses."""


class Card:
    """A GPU: modules are compiled and captured in CUDA graphs."""

    precision = "f16"
    dtype = torch.half

    def __init__(self, device: str) -> None:
        """Find the GPU.

        Args:
            device: GPU-<n>.

        Raises:
            ConfigurationError: there is no such GPU.
        """
        kind, _, number = device.partition("-")
        if kind != "GPU" or not torch.cuda.is_available():
            raise ConfigurationError(f"torch has no device {device}")
        self.name = device
        self.device = torch.device("cuda", int(number or 0))

    def active(self) -> AbstractContextManager[object]:
        """Around everything that computes here."""
        found: AbstractContextManager[object] = torch.cuda.device(self.device)
        return found

    def prepare(self, module: Any, shapes: Iterable[Shape]) -> Mapping[Shape, Prepared]:
        """Compile and capture; takes up to half a minute per shape."""
        compiled = torch.compile(module, dynamic=False)
        return {shape: _Graph(compiled, self._input(shape)) for shape in shapes}

    def free(self) -> None:
        """Give back memory that nobody uses."""
        torch.cuda.empty_cache()

    def _input(self, shape: Shape) -> Any:
        zeros = torch.zeros(shape, dtype=self.dtype, device=self.device)
        return zeros.contiguous(memory_format=torch.channels_last)


class _Graph:
    """A CUDA graph of the module for one shape."""

    def __init__(self, module: Any, source: Any) -> None:
        self._input = source
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
            self._outputs = listed(module(self._input))

    def replay(self, items: Any) -> list[Any]:
        """See `Prepared.replay`."""
        fill(self._input, items)
        self._graph.replay()
        return self._outputs


class Host:
    """The processor, in full precision; what a graph keeps in fixed memory is fixed here too."""

    name = "CPU"
    precision = "f32"
    dtype = torch.float32

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def active(self) -> AbstractContextManager[object]:
        """Nothing has to be set."""
        return nullcontext()

    def prepare(self, module: Any, shapes: Iterable[Shape]) -> Mapping[Shape, Prepared]:
        """Run once for each shape to know its outputs."""
        return {shape: _Fixed(module, torch.zeros(shape)) for shape in shapes}

    def free(self) -> None:
        """Nothing is kept."""


class _Fixed:
    """What a CUDA graph does, step by step: outputs are overwritten by the next replay."""

    def __init__(self, module: Any, source: Any) -> None:
        self._module = module
        self._input = source
        self._outputs = [output.clone() for output in listed(module(source))]

    def replay(self, items: Any) -> list[Any]:
        """See `Prepared.replay`."""
        fill(self._input, items)
        for kept, found in zip(self._outputs, listed(self._module(self._input)), strict=True):
            kept.copy_(found)
        return self._outputs


def fill(source: Any, items: Any) -> None:
    """Lay the items into fixed memory, zeros behind them."""
    source[: len(items)].copy_(items)
    source[len(items) :].zero_()


def listed(outputs: Any) -> list[Any]:
    """What a module gives, one or several, as a list."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
