"""Networks on onnxruntime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from inference.batch_axis import checked, joined, probe
from inference.devices import kind_of
from inference.engine import EngineError, EngineInfo, EngineOptions, Outputs, Tensor
from mesh.errors import ConfigurationError

_REFUSALS = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)

_LARGE = 100_000
"""Numbers in an item from which on a CPU takes items one by one: of larger batches the inner
results leave its caches (YuNet at 640 x 384 takes 1.4 times as long an item in batches of 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What onnxruntime calls a device."""

    name: str
    description: str
    precision: str = "f32"
    options: tuple[tuple[str, str], ...] = ()


PROVIDERS = {
    "CPU": Provider(name="CPUExecutionProvider", description="Every machine."),
    "GPU": Provider(
        name="CUDAExecutionProvider",
        description="NVIDIA, by the package onnxruntime-gpu in place of onnxruntime. Not run yet.",
    ),
    "TENSORRT": Provider(
        name="TensorrtExecutionProvider",
        description="NVIDIA with TensorRT's own libraries. Unmeasured.",
        precision="f16",
        options=(("trt_fp16_enable", "True"),),  # it refuses "1"
    ),
    "IGPU": Provider(
        name="OpenVINOExecutionProvider",
        description="Intel's graphics, by the package onnxruntime-openvino in place of "
        "onnxruntime. Unmeasured.",
        precision="f16",
        options=(("device_type", "GPU"), ("precision", "FP16")),
    ),
}
"""By the first word of a device's name."""


def provider_options(device: str) -> tuple[str, dict[str, str]]:
    """What onnxruntime is told for a device: the name of a provider, and its options.

    Raises:
        ConfigurationError: no provider is known for the device.
    """
    provider, number = _provider(device), device.partition("-")[2]
    return provider.name, dict(provider.options) | ({"device_id": number} if number else {})


class OnnxEngine:
    """Runs an ONNX file with onnxruntime."""

    def __init__(self, network: Path, options: EngineOptions | None = None) -> None:
        """Load the network.

        Args:
            network: ONNX file with one input of four axes.
            options: device, threads; the precision is the provider's own.

        Raises:
            ConfigurationError: the file is no such network, or the device cannot be had.
        """
        wanted = options or EngineOptions()
        provider = _provider(wanted.device)
        if provider.name not in onnxruntime.get_available_providers():
            raise ConfigurationError(f"this onnxruntime has no device {wanted.device}")
        if wanted.precision not in {None, provider.precision}:
            raise ConfigurationError(
                f"onnxruntime runs {provider.precision} on {wanted.device}, not {wanted.precision}"
            )
        self.info = EngineInfo(
            engine="onnxruntime", device=wanted.device, precision=provider.precision
        )
        self._session = _session(network, wanted.device, wanted.threads)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ConfigurationError(f"{network.name} takes {len(inputs)} inputs, not one")
        self._input = inputs[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        try:
            self._axis = probe(
                self._run, [side if isinstance(side, int) else None for side in inputs[0].shape]
            )
        except EngineError as error:
            raise ConfigurationError(f"{network.name} cannot be run: {error}") from error

    def run(self, batch: Tensor) -> Outputs:
        """Every output for a batch; see `Engine.run`.

        Raises:
            EngineError: onnxruntime refuses this input or failed on it.
        """
        items = checked(batch)
        alone = self.info.device == "CPU" and items[0].size > _LARGE
        if self._axis.batched and not alone:
            return self._run(items)
        parts = [self._run(items[index : index + 1]) for index in range(len(items))]
        return joined(parts, self._axis)

    def close(self) -> None:
        """Drop the session."""
        del self._session

    def _run(self, items: Tensor) -> Outputs:
        try:
            values = self._session.run(self._outputs, {self._input: items})
        except _REFUSALS as error:
            raise EngineError(f"onnxruntime: {error}") from error
        return {
            name: np.asarray(value, np.float32)
            for name, value in zip(self._outputs, values, strict=True)
        }


def _provider(device: str) -> Provider:
    try:
        return PROVIDERS[kind_of(device)]
    except KeyError:
        raise ConfigurationError(f"this onnxruntime has no device {device}") from None


def _session(network: Path, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin cost five times the work itself at 20 frames a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # refusals are raised, not printed
    name, settings = provider_options(device)
    try:
        session = onnxruntime.InferenceSession(network, options, providers=[(name, settings)])
    except _REFUSALS as error:
        raise ConfigurationError(f"{network.name} cannot be loaded: {error}") from error
    if session.get_providers()[0] != name:  # it falls back to the CPU in silence
        raise ConfigurationError(f"{network.name}: onnxruntime could not start {name}")
    return session
