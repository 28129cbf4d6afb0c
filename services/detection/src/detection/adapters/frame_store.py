"""Claim checks: not configured in this version."""

from detection.ports import ImageUnavailableError
from mesh.events import FrameRef


class NoFrameStore:
    """Knows no picture: installations without an object store for frames send them inline."""

    def load(self, reference: FrameRef) -> bytes:
        """Refuse.

        Raises:
            ImageUnavailableError: always.
        """
        raise ImageUnavailableError(f"no frame store is configured for {reference.uri}")
