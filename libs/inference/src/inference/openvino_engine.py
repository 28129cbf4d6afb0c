"""Networks on OpenVINO's CPU plugin."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from inference.batch_axis import checked, joined, probe
from inference.engine import EngineError, EngineInfo, EngineOptions, Outputs, Tensor
from inference.openvino_core import process_core
from mesh.errors import ConfigurationError

_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}


class OpenVinoEngine:
    """Runs an ONNX file or an OpenVINO IR on the CPU.

    With several streams the items of a batch are worked on side by side, each by `threads`
    threads, which serves a CPU better than batches do.
    """

    def __init__(
        self,
        network: Path,
        options: EngineOptions | None = None,
        *,
        weights: Path | None = None,
        sides: Sequence[int] = (),
    ) -> None:
        """Load the network.

        Args:
            network: `.onnx`, or the `.xml` of an IR; one input of four axes.
            options: precision, threads, streams; the device must be the CPU.
            weights: the `.bin` of an IR.
            sides: channels, height, width of the usual item; a network that takes any is compiled
                for it once more, which saves a tenth of the time.

        Raises:
            ConfigurationError: OpenVINO cannot load the file, or the CPU lacks the precision.
        """
        wanted = options or EngineOptions()
        if wanted.device != "CPU":
            raise ConfigurationError(f"OpenVINO is used on the CPU, not on {wanted.device}")
        core = process_core()
        try:
            model = core.read_model(network, weights) if weights else core.read_model(network)
            compiled = core.compile_model(model, "CPU", _settings(core, wanted))
        except RuntimeError as error:
            raise ConfigurationError(f"{network}: OpenVINO cannot load it: {error}") from error
        if len(compiled.inputs) != 1:
            raise ConfigurationError(f"{network.name} takes {len(compiled.inputs)} inputs, not one")
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.info = EngineInfo(engine="openvino", device="CPU", precision=precision)
        # Those of the file: compiling may add names of inner nodes to an output's set.
        names = [_name(port, index) for index, port in enumerate(model.outputs)]
        self._streams = wanted.streams
        self._any = _Requests(compiled, names, wanted.streams)
        shape = compiled.input(0).partial_shape
        try:
            self._axis = probe(
                lambda items: self._any.run([items])[0],
                [None if side.is_dynamic else side.get_length() for side in shape],
            )
        except EngineError as error:
            raise ConfigurationError(f"{network.name} cannot be run: {error}") from error
        self._usual: dict[tuple[int, ...], _Requests] = {}
        if sides and shape.is_dynamic:
            with suppress(RuntimeError):  # not every network can be cut to a size
                model.reshape([1, *sides])
                usual = core.compile_model(model, "CPU", _settings(core, wanted))
                self._usual[tuple(sides)] = _Requests(usual, names, wanted.streams)

    def run(self, batch: Tensor) -> Outputs:
        """Every output for a batch; see `Engine.run`.

        Raises:
            EngineError: OpenVINO refuses this input or failed on it.
        """
        items = checked(batch)
        usual = self._usual.get(items.shape[1:])
        if usual is None and self._axis.batched and (self._streams == 1 or len(items) == 1):
            return self._any.run([items])[0]
        parts = [items[index : index + 1] for index in range(len(items))]
        return joined((usual or self._any).run(parts), self._axis)

    def close(self) -> None:
        """Drop the requests that are not in use, and with them the network."""
        for requests in (self._any, *self._usual.values()):
            requests.close()


class _Requests:
    """What runs a compiled network, a request per stream."""

    def __init__(self, compiled: Any, names: Sequence[str], streams: int) -> None:
        self._names = names
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())

    def run(self, parts: list[Tensor]) -> list[Outputs]:
        """Each part on its own, as many at a time as there are idle streams."""
        held = [self._idle.get()]
        with suppress(Empty):
            while len(held) < len(parts):
                held.append(self._idle.get_nowait())
        try:
            return [
                found
                for start in range(0, len(parts), len(held))
                for found in self._together(held, parts[start : start + len(held)])
            ]
        except RuntimeError as error:
            raise EngineError(f"OpenVINO: {error}") from error
        finally:
            for request in held:
                self._idle.put(request)

    def close(self) -> None:
        """Drop those that are idle."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait()

    def _together(self, requests: list[Any], parts: list[Tensor]) -> list[Outputs]:
        """One part per request; alone it needs no other thread."""
        if len(parts) == 1:
            requests[0].infer([parts[0]], share_inputs=True)
            return [self._outputs(requests[0])]
        started = []
        try:
            for request, part in zip(requests, parts, strict=False):
                request.start_async([part], share_inputs=True)
                started.append(request)
            for request in started:
                request.wait()
        except RuntimeError:
            for request in started:  # none may still run when it is used again
                with suppress(RuntimeError):
                    request.wait()
            raise
        return [self._outputs(request) for request in started]

    def _outputs(self, request: Any) -> Outputs:
        return {
            name: np.array(request.get_output_tensor(index).data, np.float32)
            for index, name in enumerate(self._names)
        }


def _settings(core: Any, wanted: EngineOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": wanted.threads * wanted.streams,
        "NUM_STREAMS": wanted.streams,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if wanted.precision:
        needed = _CAPABILITIES.get(wanted.precision)
        if needed and needed not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigurationError(f"this CPU has no {wanted.precision}")
        settings["INFERENCE_PRECISION_HINT"] = wanted.precision
    return settings


def _name(port: Any, index: int) -> str:
    return str(port.get_any_name()) if port.get_names() else f"output-{index}"
