"""The port that every engine implements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

Tensor = NDArray[np.float32]
"""What goes into a network and what comes out of it; the first axis counts the items."""
Outputs = Mapping[str, Tensor]
"""The outputs of a network by name."""


class EngineError(Exception):
    """An engine refused an input or failed on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What runs a network, and on what."""

    engine: str
    """onnxruntime, openvino or torch."""
    device: str
    """CPU, GPU-0, …"""
    precision: str
    """f32, bf16 or f16."""

    @override
    def __str__(self) -> str:
        return f"{self.engine} {self.precision} on {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a network is to be run."""

    device: str = "CPU"
    """CPU, GPU-<n>, TENSORRT-<n> or IGPU; not every engine knows every device."""
    precision: str | None = None
    """f32, bf16 or f16; absent: the engine's own choice for the device."""
    threads: int = 1
    """Threads of one run on a CPU."""
    streams: int = 1
    """Items of a batch that a CPU works on at the same time, where the engine can."""
    max_batch: int = 1
    """Items per call that the caller means to send; what has to be prepared ahead is."""


class Engine(Protocol):
    """Runs one network; safe to call from several threads.

    Item i of any batch gives what the item gives alone, whatever the others are.
    """

    @property
    def info(self) -> EngineInfo:
        """What runs, and on what."""

    def run(self, batch: Tensor) -> Outputs:
        """Every output of the network for a batch; blocks while the engine works.

        Args:
            batch: float32, shape (n, channels, height, width), n at least 1; it is not changed.

        Returns:
            Per output a float32 array of shape (n, …) that the caller owns.

        Raises:
            EngineError: the engine refuses this input or failed on it.
        """

    def close(self) -> None:
        """Free what the engine holds; it cannot be used afterwards."""


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine that takes and gives tensors of its device, so that nothing has to leave it."""

    @property
    def device(self) -> Any:
        """The torch.device."""

    def run_on_device(self, items: Any) -> Mapping[str, Any]:
        """`run` without the host.

        Args:
            items: tensor of any device and type, shape (n, channels, height, width), n at least 1.

        Returns:
            Per output a float32 tensor of the engine's device, shape (n, …), the caller's own.

        Raises:
            EngineError: the engine refuses this input or failed on it.
        """
