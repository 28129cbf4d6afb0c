"""Which track of a container is shown."""

from typing import Any

from camera.domain.life import ErrorCode
from camera.ports import SourceError


def only_track(container: Any) -> Any:
    """The first video track that can be decoded.

    Raises:
        SourceError: There is none.
    """
    tracks = container.streams.video
    if not tracks:
        raise SourceError(ErrorCode.UNSUPPORTED, "there is no video in the stream")
    known = (track for track in tracks if track.codec_context is not None)
    only = next(known, None)
    if only is None:
        raise SourceError(ErrorCode.UNSUPPORTED, "the stream's codec is unknown")
    return only
