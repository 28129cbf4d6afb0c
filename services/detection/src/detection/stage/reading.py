"""The first step: what frames are to be searched for, and their pixels."""

from collections.abc import Sequence
from dataclasses import replace

from detection.domain.face import Image
from detection.domain.picture import UnreadableImageError
from detection.domain.report import PROCESSED, failed, shed
from detection.domain.wishes import wishes
from detection.ports import Decoded, ImageUnavailableError
from detection.stage.work import FrameWork, Tools
from mesh.events import FrameCaptured
from mesh.tasks import can_be_done


class FrameReader:
    """Decodes the pictures of a batch, except where a frame ends here or needs none."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loaded = tools.further.tasks

    def read(self, events: Sequence[FrameCaptured]) -> list[FrameWork]:
        """The frames, as far as they get."""
        works = [self._begun(event) for event in events]
        self._decode([work for work in works if work.ending is PROCESSED and work.tasks])
        return works

    def _begun(self, event: FrameCaptured) -> FrameWork:
        asked = wishes(event)
        doable = frozenset(task for task in asked if can_be_done(task, self._loaded))
        work = FrameWork(event, tasks=doable, undone=asked - doable)
        deadline = event.frame.deadline
        if deadline is not None and deadline <= self._tools.clock.now():
            work.ending = shed("deadline")
        elif work.undone and event.request is not None:
            work.ending = failed("model_unavailable")
        return work

    def _decode(self, works: Sequence[FrameWork]) -> None:
        """Both pictures of every frame in one call; one that cannot be read fails alone."""
        loaded = [(work, data) for work in works if (data := self._load(work)) is not None]
        second = [
            (work, data) for work, _ in loaded if (data := work.event.detection_image) is not None
        ]
        images = self._tools.decoder.decode([data for _, data in (*loaded, *second)])
        for (work, _), image in zip(loaded, images[: len(loaded)], strict=True):
            _take(work, image)
        for (work, _), image in zip(second, images[len(loaded) :], strict=True):
            _take_second(work, image)

    def _load(self, work: FrameWork) -> bytes | None:
        """The bytes of the picture; none if they cannot be had, which ends the frame."""
        event = work.event
        if event.image_ref is None:
            return event.image or b""
        try:
            return self._tools.frames.load(event.image_ref)
        except ImageUnavailableError as error:
            work.ending = failed(f"image_ref_unavailable: {error}")
            return None


def _take(work: FrameWork, image: Decoded) -> None:
    if isinstance(image, UnreadableImageError):
        work.ending = failed(f"unreadable_image: {image.reason}")
        return
    work.image = image
    work.event = _sized(work.event, image)


def _take_second(work: FrameWork, image: Decoded) -> None:
    """The camera's second picture; without a readable one the first is searched."""
    if work.image is not None and not isinstance(image, UnreadableImageError):
        work.small = image


def _sized(event: FrameCaptured, image: Image) -> FrameCaptured:
    """The frame with the size of the decoded picture: EXIF may have turned it upright."""
    height, width = image.shape[:2]
    if (event.frame.width, event.frame.height) == (width, height):
        return event
    return replace(event, frame=replace(event.frame, width=width, height=height))
