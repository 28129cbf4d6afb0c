"""Models behind a fallback chain, as the stage knows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import inference.engine
from detection.domain.face import Picture
from detection.domain.thing import RawObject
from detection.ports import (
    EngineError,
    EngineTimeoutError,
    FaceModel,
    FaceView,
    ModelInfo,
    ObjectDetector,
)
from detection.settings import DetectionSettings
from inference.chain import Chain, ChainTimeoutError
from inference.links import Change, Link
from inference.news import ModelNews
from inference.running import warm


class Model(Protocol):
    """What every model can be asked."""

    @property
    def info(self) -> ModelInfo:
        """The model that runs."""

    def warm_up(self) -> None:
        """Run once."""


Tool = TypeVar("Tool", bound=Model)
Out = TypeVar("Out")
Reading = TypeVar("Reading")


class Chained(Generic[Tool]):
    """Asks the links of a chain.

    Used from one thread; only `serving` and `state` may be called from others.
    """

    def __init__(self, chain: Chain[Tool]) -> None:
        self._chain = chain
        self._answered = chain.tools[0].info

    @property
    def info(self) -> ModelInfo:
        """What answered the last call; before the first what is to answer it."""
        return self._answered

    def serving(self) -> ModelInfo:
        """What would answer now."""
        return self._chain.serving.info

    def state(self) -> str:
        """available, degraded or failed."""
        return self._chain.state

    def warm_up(self) -> None:
        """Run every link until it is warm."""
        self._chain.warm_up()

    def _ask(self, use: Callable[[Tool], Out]) -> Out:
        """What the first link says that answers.

        Raises:
            EngineTimeoutError: no link answered in time.
            EngineError: every link refused.
        """
        try:
            answer = self._chain.run(use)
        except ChainTimeoutError as error:
            raise EngineTimeoutError(str(error)) from error
        except inference.engine.EngineError as error:
            raise EngineError(str(error)) from error
        info = answer.tool.info
        self._answered = replace(info, fallback_used=True) if answer.stood_in else info
        return answer.value


class ChainedFaceModel(Chained[FaceModel[Reading]], Generic[Reading]):
    """What the first link that answers says of faces."""

    def read(self, faces: Sequence[FaceView]) -> Sequence[Reading]:
        """What it says of each face, in order; see `FaceModel`."""
        return self._ask(lambda one: one.read(faces))


class ChainedObjectDetector(Chained[ObjectDetector]):
    """Objects as the first link that answers finds them."""

    def detect(self, images: Sequence[Picture]) -> list[list[RawObject]]:
        """The objects of each picture; see `ObjectDetector`."""
        return self._ask(lambda one: one.detect(images))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where and how a model runs, and who is told what happens to it."""

    devices: Sequence[str] = ("CPU",)
    """The chosen one, then those that stand in."""
    timeout: Callable[[str], float] = lambda _: 10.0
    """Seconds that a call may take on a device."""
    threads: int = 1
    """That one run may use on a CPU."""
    tell: Callable[[str, Change[Any]], None] = lambda _task, _change: None
    """Told task and change of every link; must return at once."""

    def chain(
        self, task: str, model_id: str, build: Callable[[str], Tool], *, devices: Sequence[str]
    ) -> Chain[Tool]:
        """One link for each device, loaded, not warm.

        Args:
            task: of models.
            model_id: of what runs.
            build: loads it for a device.
            devices: that it can run on.

        Raises:
            ConfigurationError: it cannot be loaded.
        """
        links = [
            Link(
                name=f"{model_id} on {device}",
                device=device,
                model_id=model_id,
                timeout=self.timeout(device),
                build=partial(build, device),
            )
            for device in devices
        ]
        return Chain(links, warm_up=warm, tell=partial(self.tell, task))


def places_of(settings: DetectionSettings, news: ModelNews) -> Places:
    """Where the settings put further models: the detector's devices.

    Raises:
        ConfigurationError: the watchdog would end the process before the last device answers.
    """
    settings.check_patience(settings.devices)
    return Places(
        devices=settings.devices,
        timeout=settings.timeout,
        threads=settings.detection_threads,
        tell=lambda task, change: news.changed(change, task=task),
    )
