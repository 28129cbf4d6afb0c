"""Publishing of pictures that are too large for a record."""

from collections.abc import Sequence
from dataclasses import replace

from mesh.claims import ClaimChecks
from mesh.errors import TransientError
from mesh.events import INLINE_BYTES, FrameCaptured
from mesh.logs import get_logger
from mesh.stage import Output
from results.domain.errors import AwayError
from results.ports import PictureEditor, Publisher


class ClaimingPublisher:
    """Stores what is too large and publishes references to it; the rest is published as it is.

    While the store is away a large picture is compressed until it fits its record.
    """

    def __init__(self, publisher: Publisher, claims: ClaimChecks, editor: PictureEditor) -> None:
        self._publisher = publisher
        self._claims = claims
        self._editor = editor
        self._log = get_logger("claims")

    def publish(self, outputs: Sequence[Output]) -> None:
        """Return once the broker has all of them; blocks.

        Raises:
            AwayError: The store is away, and a picture could not be made small enough.
            TransientError: The broker did not take them in time.
            RejectedRecordError: One is larger than the broker allows.
        """
        self._publisher.publish([self._portable(output) for output in outputs])

    def _portable(self, output: Output) -> Output:
        event = output.event
        if not isinstance(event, FrameCaptured):
            return output
        try:
            checked = self._claims.checked(event)
        except TransientError as error:
            return replace(output, event=self._compressed(event, error))
        return output if checked is event else replace(output, event=checked)

    def _compressed(self, event: FrameCaptured, away: TransientError) -> FrameCaptured:
        self._log.warning("large_picture_compressed", message=str(away))
        try:
            smaller = self._editor.shrink(event.image or b"", INLINE_BYTES)
        except ValueError:
            smaller = None
        if smaller is None:
            raise AwayError("object_store", str(away)) from away
        return replace(event, image=smaller, image_format="jpeg")
