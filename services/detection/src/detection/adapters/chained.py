"""Models behind a fallback chain, as the stage knows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from detection.adapters.further_engines import FurtherEngines
from detection.domain.face import Image
from detection.domain.thing import RawObject
from detection.ports import FaceModel, FaceView, ModelInfo, ObjectDetector
from detection.settings import DetectionSettings
from inference.chain import Chain
from inference.chained import Chained, Model
from inference.links import Change, Link
from inference.news import ModelNews
from inference.running import warm

TRYING_SECONDS = 20.0
"""The start waits so long for engines to be tried on further models: 3 s each on a busy machine."""
Tool = TypeVar("Tool", bound=Model[ModelInfo])
Reading = TypeVar("Reading")


class ChainedFaceModel(Chained[FaceModel[Reading], ModelInfo], Generic[Reading]):
    """What the first link that answers says of faces."""

    def read(self, faces: Sequence[FaceView]) -> Sequence[Reading]:
        """What it says of each face, in order; see `FaceModel`."""
        return self._ask(lambda one: one.read(faces))


class ChainedObjectDetector(Chained[ObjectDetector, ModelInfo]):
    """Objects as the first link that answers finds them."""

    def detect(self, images: Sequence[Image]) -> list[list[RawObject]]:
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
    engines: FurtherEngines = field(default_factory=FurtherEngines)
    """Opens networks."""
    tell: Callable[[str, Change[Any]], None] = lambda _task, _change: None
    """Told task and change of every link; must return at once."""
    prefer: Callable[[], str | None] = lambda: None
    """Which device is to be asked first; see `Placing.preferred`."""

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


def places_of(
    settings: DetectionSettings, news: ModelNews, prefer: Callable[[], str | None]
) -> Places:
    """Where the settings put further models: the detector's devices.

    Args:
        settings: of the service.
        news: told what happens to the models.
        prefer: which device is to be asked first.

    Raises:
        ConfigurationError: the watchdog would end the process before the last device answers.
    """
    settings.check_patience(settings.devices)
    return Places(
        devices=settings.devices,
        timeout=settings.timeout,
        threads=settings.detection_threads,
        engines=FurtherEngines(wanted=settings.engine, seconds=TRYING_SECONDS),
        tell=lambda task, change: news.changed(change, task=task),
        prefer=prefer,
    )
