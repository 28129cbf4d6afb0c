"""The first step: what a frame is to be searched for, and its pixels."""

from dataclasses import replace

from detection.domain.face import Picture
from detection.domain.picture import UnreadableImageError
from detection.domain.report import failed, shed
from detection.domain.wishes import wishes
from detection.ports import ImageUnavailableError
from detection.stage.work import FrameWork, Tools
from mesh.events import FrameCaptured
from mesh.tasks import can_be_done


class FrameReader:
    """Decodes pictures, unless a frame ends here or holds nothing to look for."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loaded = tools.further.tasks

    def read(self, event: FrameCaptured) -> FrameWork:
        """The frame, as far as it gets."""
        asked = wishes(event)
        doable = frozenset(task for task in asked if can_be_done(task, self._loaded))
        work = FrameWork(event, tasks=doable, undone=asked - doable)
        deadline = event.frame.deadline
        if deadline is not None and deadline <= self._tools.clock.now():
            work.ending = shed("deadline")
        elif work.undone and event.request is not None:
            work.ending = failed("model_unavailable")
        elif doable:
            self._decode(work)
        return work

    def _decode(self, work: FrameWork) -> None:
        try:
            work.image = self._tools.decoder.decode(self._bytes_of(work.event))
        except UnreadableImageError as error:
            work.ending = failed(f"unreadable_image: {error.reason}")
        except ImageUnavailableError as error:
            work.ending = failed(f"image_ref_unavailable: {error}")
        else:
            work.event = _sized(work.event, work.image)
            work.small = self._small(work.event)

    def _small(self, event: FrameCaptured) -> Picture | None:
        """The camera's second picture; without a readable one the first is searched."""
        if event.detection_image is None:
            return None
        try:
            return self._tools.decoder.decode(event.detection_image)
        except UnreadableImageError:
            return None

    def _bytes_of(self, event: FrameCaptured) -> bytes:
        if event.image_ref is not None:
            return self._tools.frames.load(event.image_ref)
        return event.image or b""


def _sized(event: FrameCaptured, image: Picture) -> FrameCaptured:
    """The frame with the size of the decoded picture: EXIF may have turned it upright."""
    height, width = image.shape[:2]
    if (event.frame.width, event.frame.height) == (width, height):
        return event
    return replace(event, frame=replace(event.frame, width=width, height=height))
