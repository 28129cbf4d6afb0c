"""Claim checks: pictures too large for a record lie in the object store (design, section 2).

Whoever publishes such a picture stores it and sends its `FrameRef`. Those who read it never delete
it; results' keeper does, once nobody can read the record any more. Its path says when that is:
`frames/<lane>/<hour>/<name>`.
"""

import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from mesh.errors import MeshError, TransientError
from mesh.events import INLINE_BYTES, FrameCaptured, FrameRef, Lane
from mesh.objects import ObjectFolder
from mesh.topics import BY_NAME, LANE_TOPICS

FOLDER = "frames"
MOST_BYTES = 16 * 1024 * 1024
"""No reference to a larger picture is followed."""
_HOUR = timedelta(hours=1)
_HOUR_NAME = "%Y%m%dT%H"
_GRACE = _HOUR
"""Kept longer than the record: its topic is cleaned by segments, and clocks differ."""


class ClaimError(MeshError):
    """The picture behind a claim check can never be had."""


class ClaimChecks:
    """Stores large pictures and brings them back; safe for threads, every method may block."""

    def __init__(self, url: str) -> None:
        """Take the object store's address; nothing is contacted yet.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        self._folder = ObjectFolder(url, FOLDER)

    def put(self, image: bytes, lane: Lane, at: datetime) -> FrameRef:
        """Store the picture of a frame of this lane that came at this time.

        Raises:
            TransientError: the store is away.
        """
        name = f"{lane}/{at.astimezone(UTC).strftime(_HOUR_NAME)}/{uuid.uuid4().hex}"
        self._folder.write(name, image)
        return FrameRef(
            uri=f"{self._folder.url}/{name}",
            size_bytes=len(image),
            sha256=sha256(image).hexdigest(),
        )

    def checked(self, event: FrameCaptured) -> FrameCaptured:
        """The frame as it may travel: as it is, or with its large picture in the store.

        Raises:
            TransientError: the store is away.
        """
        if event.image is None or len(event.image) <= INLINE_BYTES:
            return event
        reference = self.put(event.image, event.frame.lane, event.frame.received_timestamp)
        return replace(event, image=None, image_ref=reference)

    def load(self, reference: FrameRef) -> bytes:
        """The picture, exactly as it was stored.

        Raises:
            ClaimError: it is gone, it is another one, or it lies elsewhere.
            TransientError: the store is away.
        """
        root = f"{self._folder.url}/"
        if not reference.uri.startswith(root):
            raise ClaimError("it lies outside of this installation's object store")
        if not 0 < reference.size_bytes <= MOST_BYTES:
            raise ClaimError(f"it claims {reference.size_bytes} bytes")
        try:
            image = self._folder.read(reference.uri.removeprefix(root))
        except KeyError as error:
            if not self._folder.mounted:
                raise TransientError("the object store is away: its folder is gone") from error
            raise ClaimError("it is gone") from error
        if len(image) != reference.size_bytes:
            raise ClaimError(f"it has {len(image)} bytes, not {reference.size_bytes}")
        if sha256(image).hexdigest() != reference.sha256:
            raise ClaimError("its sha256 is another one")
        return image

    def expire(self, now: datetime) -> int:
        """Delete the pictures that no record can refer to any more; returns how many.

        Raises:
            TransientError: the store is away.
        """
        self._folder.sweep(now - _GRACE)
        return sum(
            self._folder.remove_folder(hour)
            for lane in Lane
            for hour in self._folder.folders(str(lane))
            if _is_past(hour, lane, now)
        )

    def check(self) -> str | None:
        """What is wrong with the store, or nothing."""
        return self._folder.check()


def _is_past(folder: str, lane: Lane, now: datetime) -> bool:
    """Whether the records of an hour's frames have left their topic."""
    kept = BY_NAME[LANE_TOPICS[lane]].retention or timedelta.max
    with suppress(ValueError):
        began = datetime.strptime(folder.rpartition("/")[2], _HOUR_NAME).replace(tzinfo=UTC)
        return began + _HOUR + kept + _GRACE <= now
    return False
