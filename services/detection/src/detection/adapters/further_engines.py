"""Which engine runs each model beyond face detection: measured once, while there is time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detection.adapters.face_networks import Network
from inference.choice import AUTO, NoEngineError
from inference.engine import Engine, EngineOptions, Tensor
from inference.opening import open_engine
from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigurationError
from mesh.logs import get_logger
from mesh.models import InputSpec, ModelSpec

_CPU = "CPU"


class FurtherEngines:
    """Opens the networks of further models.

    On a CPU engines are tried in a process of their own, as the detector's are, and the start
    waits for all of them: what has no time left runs on the first engine of its registry entry.
    What is built anew later runs on the engine that was chosen before.
    """

    def __init__(
        self, *, wanted: str = AUTO, seconds: float = 0.0, clock: Clock | None = None
    ) -> None:
        """Take the setting, and how long trying may take.

        Args:
            wanted: auto, or an engine's name; models that it is not for choose by themselves.
            seconds: for all models together on the CPU; with none nothing is tried there.
            clock: takes the time; the machine's by default.
        """
        self._wanted = wanted
        self._tries = seconds > 0
        self._left = seconds
        self._clock = clock or SystemClock()
        self._chosen: dict[tuple[str, str], str] = {}

    def network(
        self, model: ModelSpec, files: Mapping[str, Path], options: EngineOptions
    ) -> Network:
        """A model on the engine that suits it best.

        Args:
            model: from the registry.
            files: its verified files by name.
            options: device, threads, items at once.

        Raises:
            NoEngineError: no engine can run it there.
            ConfigurationError: its input has no size.
        """
        shape = model.input
        if shape is None or not shape.width or not shape.height:
            raise ConfigurationError(
                f"model {model.model_id}: its input needs a width and a height"
            )
        place = model.model_id, options.device
        wanted = self._chosen.get(place) or self._wish(model, options.device)
        engine = self._open(model, files, shape, options=options, wanted=wanted)
        self._chosen[place] = engine.info.engine
        return Network(engine, shape)

    def _wish(self, model: ModelSpec, device: str) -> str:
        if self._wanted in model.engines:
            return self._wanted
        if device != _CPU or self._left > 0:
            return AUTO
        if self._tries:
            _untried(model, "the start has waited long enough for others")
        return model.engine

    def _open(
        self,
        model: ModelSpec,
        files: Mapping[str, Path],
        shape: InputSpec,
        *,
        options: EngineOptions,
        wanted: str,
    ) -> Engine:
        if options.device != _CPU or wanted != AUTO:
            return open_engine(model, files, _sample(shape), options=options, wanted=wanted)[0]
        began = self._clock.monotonic()
        try:
            return open_engine(
                model, files, _sample(shape), options=options, apart=True, patience=self._left
            )[0]
        except NoEngineError as error:
            _untried(model, str(error))
        finally:
            self._left -= self._clock.monotonic() - began
        return self._open(model, files, shape, options=options, wanted=model.engine)


def _untried(model: ModelSpec, reason: str) -> None:
    get_logger("inference").warning(
        "engines_not_tried", model_id=model.model_id, engine=model.engine, reason=reason
    )


def _sample(shape: InputSpec) -> Tensor:
    noise = np.random.default_rng(0).uniform(0, 255, (1, 3, shape.height, shape.width))
    mean, scale = (np.reshape(values, (3, 1, 1)) for values in (shape.mean, shape.scale))
    sample: Tensor = ((noise - mean) / scale).astype(np.float32)
    return sample
