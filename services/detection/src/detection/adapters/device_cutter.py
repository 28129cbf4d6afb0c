"""Faces cut out of pictures on the device where they lie."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from detection.adapters import device_jpeg
from detection.adapters.device_pictures import planes_of
from detection.adapters.device_resampling import Part, cut, grey, portions, resampled
from detection.adapters.jpeg import GREY_SIDE, OpenCvFaceCutter, grey_part
from detection.domain.face import GreyFace, Image
from detection.ports import ChipCut, FaceView
from inference.threads import AbandonableThreads, HangingError, Threads
from mesh.logs import get_logger

CUT_SECONDS = 5.0
"""What has not been cut by then is cut on the host."""
_SMALLEST, _STEP = 64, 32
T = TypeVar("T")
Through = Callable[[Any], Any]
"""What becomes of cut squares before they are scaled."""


class DeviceFaceCutter:
    """Cuts the faces of a batch together, and on the host where the device fails or hangs.

    The pixels are those of `OpenCvFaceCutter` within one grey level.
    """

    def __init__(self, device: Any, *, threads: Threads | None = None) -> None:
        """Cut on a device.

        Args:
            device: a torch.device.
            threads: run what may hang.
        """
        self._device = device
        self._threads = threads or AbandonableThreads("device-cutter")
        self._host = OpenCvFaceCutter()
        self._encode = device_jpeg.encoder(device)

    def grey(self, faces: Sequence[FaceView]) -> Sequence[GreyFace]:
        """Each box at 112 x 112 grey pixels; see `FaceCutter`."""
        return self._on_device(lambda: self._greys(faces), lambda: self._host.grey(faces))

    def chips(self, cuts: Sequence[ChipCut], *, quality: int) -> Sequence[bytes]:
        """Each window as JPEG 4:4:4; see `FaceCutter`."""
        return self._on_device(
            lambda: self._encode(
                self._squares([one.image for one in cuts], _windows(cuts)), quality
            ),
            lambda: self._host.chips(cuts, quality=quality),
        )

    def _on_device(
        self, work: Callable[[], Sequence[T]], otherwise: Callable[[], Sequence[T]]
    ) -> Sequence[T]:
        try:
            return self._threads.run(work, CUT_SECONDS)
        except (RuntimeError, HangingError) as error:
            get_logger("detection").warning("cut_on_host", reason=str(error))
            return otherwise()

    def _greys(self, faces: Sequence[FaceView]) -> list[GreyFace]:
        """All in one array that is copied to the host at once."""
        if not faces:
            return []
        parts = [_measured(view) for view in faces]
        squares = self._squares([view.image for view in faces], parts, grey)
        found: NDArray[np.uint8] = torch.cat(squares).cpu().numpy()
        return list(found)

    def _squares(
        self, images: Sequence[Image], parts: Sequence[Part], through: Through = lambda cut: cut
    ) -> list[Any]:
        """A part of each picture, uint8 (channels, size, size), on the device.

        Parts of one key, all that decides how they are computed, share a call.
        """
        found: list[Any] = [None] * len(parts)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for index, (image, part) in enumerate(zip(images, parts, strict=True)):
            groups[image.shape, *_key(part)].append(index)
        with torch.inference_mode():
            for (_, side, size), group in groups.items():
                for members in portions(group, side):
                    asked = [parts[index] for index in members]
                    stack, places = self._stacked([images[index] for index in members])
                    squares = resampled(through(cut(stack, places, asked, side)), asked, size)
                    for index, part, square in zip(members, asked, squares, strict=True):
                        found[index] = square[:, : part.size, : part.size]
        return found

    def _stacked(self, images: Sequence[Image]) -> tuple[Any, list[int]]:
        """Pictures of one size, each once: (m, 3, height, width), and the place of each."""
        numbers: dict[int, int] = {}
        distinct: list[Image] = []
        for image in images:
            if id(image) not in numbers:
                numbers[id(image)] = len(distinct)
                distinct.append(image)
        planes = torch.stack([planes_of(image, self._device) for image in distinct])
        return planes, [numbers[id(image)] for image in images]


def _windows(cuts: Sequence[ChipCut]) -> list[Part]:
    return [
        Part(one.window.x, one.window.y, one.window.side, one.window.side, one.size) for one in cuts
    ]


def _measured(view: FaceView) -> Part:
    height, width = view.image.shape[:2]
    x1, y1, x2, y2 = grey_part(view.face.box, width=width, height=height)
    return Part(x1, y1, x2 - x1, y2 - y1, GREY_SIDE)


def _key(part: Part) -> tuple[int, int]:
    """Side of the squares that the part is cut and scaled in: a few sizes, so that few calls do."""
    longest = max(part.width, part.height, _SMALLEST)
    return 1 << (longest - 1).bit_length(), -(-part.size // _STEP) * _STEP
