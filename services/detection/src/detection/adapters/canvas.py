"""How pictures become the input of a network: letterbox, colour order, normalisation."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.domain.face import Picture
from detection.domain.letterbox import Letterbox, fit, fit_into
from inference.engine import EngineError
from mesh.models import InputSpec


def letterbox(image: Picture, shape: InputSpec, long_side: int) -> Letterbox:
    """How a picture goes into the network: its own aspect, or the one size that it takes."""
    height, width = image.shape[:2]
    if shape.width and shape.height:
        return fit_into(width, height, input_width=shape.width, input_height=shape.height)
    return fit(width, height, long_side, multiple=shape.multiple)


class Canvas:
    """Lays pictures out for one network, in memory that is used again for the next call.

    Fresh memory of this size comes page by page from the kernel, which takes as long as the
    conversion. Used from one thread at a time.
    """

    def __init__(self, shape: InputSpec) -> None:
        """Take how a picture becomes the network's input."""
        mean, scale = np.asarray(shape.mean, np.float32), np.asarray(shape.scale, np.float32)
        self._mean = np.broadcast_to(mean, 3)
        self._factor = np.broadcast_to(np.float32(1.0) / scale, 3)
        self._plain = not mean.any() and bool((scale == 1).all())
        self._turned = shape.colour == "RGB"
        self._frames = np.empty(0, np.float32)
        self._channels: list[NDArray[np.uint8]] = []

    def lay(self, images: Sequence[Picture], boxes: Sequence[Letterbox]) -> NDArray[np.float32]:
        """The pictures in their letterboxes, which have one size: (n, 3, height, width).

        The array is valid until the next call.

        Raises:
            EngineError: one of them is no picture of three channels.
        """
        frames = self._room((len(images), 3, boxes[0].height, boxes[0].width))
        for frame, image, box in zip(frames, images, boxes, strict=True):
            try:
                self._fill(frame, image, box)
            except (cv2.error, ValueError) as error:
                raise EngineError(
                    f"a picture of shape {image.shape} cannot be used: {error}"
                ) from error
        return frames

    def _room(self, sides: tuple[int, int, int, int]) -> NDArray[np.float32]:
        size = int(np.prod(sides))
        if self._frames.size < size:
            self._frames = np.empty(size, np.float32)
        return self._frames[:size].reshape(sides)

    def _fill(self, frame: NDArray[np.float32], image: Picture, box: Letterbox) -> None:
        for plane, channel, mean, factor in zip(
            frame, self._split(image, box), self._mean, self._factor, strict=True
        ):
            content = plane[: box.content_height, : box.content_width]
            content[:] = channel
            plane[box.content_height :] = 0.0
            plane[: box.content_height, box.content_width :] = 0.0
            if not self._plain:  # plane by plane, while it is in the processor's cache
                np.subtract(plane, mean, out=plane)
                np.multiply(plane, factor, out=plane)

    def _split(self, image: Picture, box: Letterbox) -> Sequence[NDArray[np.uint8]]:
        """The channels of the scaled picture, in the network's order."""
        size = (box.content_width, box.content_height)
        same = image.shape[1::-1] == size
        scaled = image if same else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        if not self._channels or self._channels[0].shape != scaled.shape[:2]:
            self._channels = [np.empty(scaled.shape[:2], np.uint8) for _ in range(3)]
        channels: Sequence[NDArray[np.uint8]] = cv2.split(scaled, self._channels)
        return channels[::-1] if self._turned else channels
