"""The detection service with an engine that marked pictures break; started by chaos tests only.

The upper left corner of a picture tells what the engine does with it: die of a memory fault, hang
where other threads go on, or hang and hold the interpreter.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import detection.main as service
from detection.domain.face import Image, RawFace, pixels
from detection.ports import FaceDetector, ModelInfo

CORNER = 32
"""Side of the mark in pixels."""
_TOLERANCE = 40.0
DEADLY, HANGING, SEIZING = (0, 255, 0), (0, 0, 255), (255, 0, 255)
"""Marks, RGB."""


def marked(pixels: np.ndarray[Any, np.dtype[np.uint8]], mark: tuple[int, int, int]) -> Any:
    """The same RGB picture with a mark."""
    copy = pixels.copy()
    copy[:CORNER, :CORNER] = mark
    return copy


def main() -> None:
    """Run the service."""
    load: Callable[..., FaceDetector] = vars(service)["load_detector"]
    vars(service)["load_detector"] = lambda *given, **named: Breakable(load(*given, **named))
    service.main()


class Breakable:
    """A detector that does to marked pictures what broken engines do."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    @property
    def info(self) -> ModelInfo:
        """The model that runs."""
        return self._detector.info

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture."""
        for image in images:
            _suffer(image)
        return self._detector.detect(images, long_side=long_side)

    def warm_up(self) -> None:
        """Run once."""
        self._detector.warm_up()


def _suffer(image: Image) -> None:
    corner = pixels(image)[4 : CORNER - 4, 4 : CORNER - 4].reshape(-1, 3)
    if not len(corner):
        return
    colour = corner.mean(axis=0)[::-1]
    if _is(colour, DEADLY):
        os.kill(os.getpid(), signal.SIGSEGV)
    if _is(colour, HANGING):
        threading.Event().wait()
    if _is(colour, SEIZING):
        re.match(r"(a+)+$", "a" * 64 + "b")


def _is(colour: Any, mark: tuple[int, int, int]) -> bool:
    return bool(np.abs(colour - np.array(mark)).max() < _TOLERANCE)


if __name__ == "__main__":
    main()
