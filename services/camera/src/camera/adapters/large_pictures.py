"""Pictures that are too large for their record, brought to the object store."""

from datetime import datetime

from mesh.claims import ClaimChecks
from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.events import FrameRef, Lane
from mesh.logs import get_logger

_PAUSE_SECONDS = 5.0


class StoredPictures:
    """Stores large pictures, and leaves a store that is away alone for a few seconds.

    Readers of cameras wait for it, so it must not cost each of their pictures a time-out.
    """

    def __init__(self, claims: ClaimChecks, clock: Clock) -> None:
        self._claims = claims
        self._clock = clock
        self._again = clock.monotonic()

    def __call__(self, image: bytes, lane: Lane, received: datetime) -> FrameRef | None:
        """Stores a picture; nothing if the store is away, or was a moment ago."""
        if self._clock.monotonic() < self._again:
            return None
        try:
            return self._claims.put(image, lane, received)
        except TransientError as error:
            self._again = self._clock.monotonic() + _PAUSE_SECONDS
            get_logger("camera.pictures").warning("large_picture_compressed", message=str(error))
            return None
