"""How pictures become the input of a network: letterbox, colour order, normalisation."""

from collections.abc import Sequence
from math import prod

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.domain.face import Image, pixels
from detection.domain.letterbox import Letterbox, fit, fit_into
from inference.engine import EngineError
from mesh.models import InputSpec


def letterbox(image: Image, shape: InputSpec, long_side: int) -> Letterbox:
    """How a picture goes into the network: its own aspect, or the one size that it takes."""
    height, width = image.shape[:2]
    if shape.width and shape.height:
        return fit_into(width, height, input_width=shape.width, input_height=shape.height)
    return fit(width, height, long_side, multiple=shape.multiple)


class Canvas:
    """Lays pictures out for one network, in memory that is used again for the next call.

    Fresh memory of this size comes page by page from the kernel, which takes as long as the
    conversion. For the same reason padding that is there already is left as it is: nobody else
    may write to the memory. Used from one thread at a time.
    """

    def __init__(self, shape: InputSpec) -> None:
        """Take how a picture becomes the network's input."""
        mean, scale = np.asarray(shape.mean, np.float32), np.asarray(shape.scale, np.float32)
        self._mean = np.broadcast_to(mean, 3)
        self._factor = np.broadcast_to(np.float32(1.0) / scale, 3)
        self._plain = not mean.any() and bool((scale == 1).all())
        self._turned = shape.colour == "RGB"
        self._black = ((np.float32(0.0) - self._mean) * self._factor)[:, None, None]
        self._memory = np.empty(0, np.float32)
        self._sides = (0, 0)
        self._padded: list[Letterbox] = []
        self._channels: list[NDArray[np.uint8]] = []

    def lay(self, images: Sequence[Image], boxes: Sequence[Letterbox]) -> NDArray[np.float32]:
        """The pictures in their letterboxes, which have one size: (n, 3, height, width).

        The array is valid until the next call.

        Raises:
            EngineError: one of them is no picture of three channels.
        """
        frames = self._room(len(images), (boxes[0].height, boxes[0].width))
        for place, (image, box) in enumerate(zip(images, boxes, strict=True)):
            if self._padded[place : place + 1] != [box]:
                self._pad(frames[place], box)
                self._padded[place : place + 1] = [box]
            try:
                self._fill(frames[place], image, box)
            except (cv2.error, ValueError) as error:
                raise EngineError(
                    f"a picture of shape {image.shape} cannot be used: {error}"
                ) from error
        return frames

    def _room(self, count: int, sides: tuple[int, int]) -> NDArray[np.float32]:
        """Memory for so many inputs; where it is not as it was, no padding is there."""
        shape = (count, 3, *sides)
        size = prod(shape)
        if self._memory.size < size:
            self._memory = np.empty(size, np.float32)
            self._padded.clear()
        if self._sides != sides:
            self._sides = sides
            self._padded.clear()
        return self._memory[:size].reshape(shape)

    def _pad(self, frame: NDArray[np.float32], box: Letterbox) -> None:
        frame[:, box.content_height :] = self._black
        frame[:, : box.content_height, box.content_width :] = self._black

    def _fill(self, frame: NDArray[np.float32], image: Image, box: Letterbox) -> None:
        contents = frame[:, : box.content_height, : box.content_width]
        for content, channel, mean, factor in zip(
            contents, self._split(image, box), self._mean, self._factor, strict=True
        ):
            content[:] = channel
            if not self._plain:  # plane by plane, while it is in the processor's cache
                np.subtract(content, mean, out=content)
                np.multiply(content, factor, out=content)

    def _split(self, image: Image, box: Letterbox) -> Sequence[NDArray[np.uint8]]:
        """The channels of the scaled picture, in the network's order."""
        size = (box.content_width, box.content_height)
        picture = pixels(image)
        same = picture.shape[1::-1] == size
        scaled = picture if same else cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        if not self._channels or self._channels[0].shape != scaled.shape[:2]:
            self._channels = [np.empty(scaled.shape[:2], np.uint8) for _ in range(3)]
        channels: Sequence[NDArray[np.uint8]] = cv2.split(scaled, self._channels)
        return channels[::-1] if self._turned else channels
