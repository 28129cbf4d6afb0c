"""Pictures that were too large for their record."""

from detection.ports import ImageUnavailableError
from mesh.claims import ClaimChecks, ClaimError
from mesh.events import FrameRef


class ObjectFrameStore:
    """Fetches pictures from the object store, and checks that they are what was stored."""

    def __init__(self, claims: ClaimChecks) -> None:
        self._claims = claims

    def load(self, reference: FrameRef) -> bytes:
        """The picture behind a claim check; blocks.

        Raises:
            ImageUnavailableError: it can never be had.
            TransientError: the store is away.
        """
        try:
            return self._claims.load(reference)
        except ClaimError as error:
            raise ImageUnavailableError(str(error)) from error
