"""Pictures decoded and faces cut where the detector that would answer wants them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter, encoded
from detection.domain.chip import GRADES, ChipWindow
from detection.domain.face import GreyFace, RawFace
from detection.domain.picture import UnreadableImageError
from detection.ports import ChipCut, Decoded, FaceCutter, FaceView, ImageDecoder
from mesh.events import BoundingBox


@dataclass(frozen=True, slots=True)
class PictureTools:
    """What decodes pictures and cuts faces out of them in one place."""

    decoder: ImageDecoder
    cutter: FaceCutter


def on_host() -> PictureTools:
    """In memory, by OpenCV."""
    return PictureTools(OpenCvDecoder(), OpenCvFaceCutter())


def on_gpu(device: str) -> PictureTools:
    """On a GPU, by torch.

    Args:
        device: GPU-<n>.
    """
    import torch  # noqa: PLC0415 -- an extra, which is there where a detector runs on it

    from detection.adapters.device_cutter import DeviceFaceCutter  # noqa: PLC0415 -- as above
    from detection.adapters.device_pictures import DeviceImageDecoder  # noqa: PLC0415 -- as above

    place = torch.device("cuda", int(device.partition("-")[2] or 0))
    return PictureTools(DeviceImageDecoder(place), DeviceFaceCutter(place))


class PlacedPictures:
    """Decoder and cutter of a stage; pictures of a batch stay where its detector looks at them."""

    def __init__(
        self,
        where: Callable[[], str | None],
        *,
        open_tools: Callable[[str], PictureTools] = on_gpu,
    ) -> None:
        """Decode and cut.

        Args:
            where: the device that the batch in hand is for, or none for the host.
            open_tools: opens the tools of a device; called once for each.
        """
        self._where = where
        self._open = open_tools
        self._host = on_host()
        self._opened: dict[str, PictureTools] = {}

    def decode(self, pictures: Sequence[bytes]) -> Sequence[Decoded]:
        """The pictures in order; see `ImageDecoder`."""
        return self._tools().decoder.decode(pictures)

    def grey(self, faces: Sequence[FaceView]) -> Sequence[GreyFace]:
        """The faces to be measured; see `FaceCutter`."""
        return self._tools().cutter.grey(faces)

    def chips(self, cuts: Sequence[ChipCut], *, quality: int) -> Sequence[bytes]:
        """The chips; see `FaceCutter`."""
        return self._tools().cutter.chips(cuts, quality=quality)

    def warm_up(self) -> None:
        """Decode and cut an empty picture of a camera, so that the first frame is not slow."""
        [image] = self.decode([encoded(np.zeros((720, 1280, 3), np.uint8), 85)])
        if isinstance(image, UnreadableImageError):
            raise image
        box = BoundingBox(x1=100, y1=100, x2=300, y2=300)
        self.grey([FaceView(image, RawFace(box=box, confidence=1.0, landmarks=()))])
        window = ChipWindow(x=60, y=60, side=280)
        for grade in GRADES:
            self.chips([ChipCut(image, window, grade.max_side)], quality=grade.quality)

    def _tools(self) -> PictureTools:
        device = self._where()
        if device is None:
            return self._host
        if device not in self._opened:
            self._opened[device] = self._open(device)
        return self._opened[device]
