"""Face pictures to the object store, before their links are written."""

from collections.abc import Sequence
from typing import Any

from mesh.events import Snapshot
from mesh.record import Record
from results.adapters.objects import ObjectStore


class PictureUploader:
    """Uploads the picture of every snapshot of a batch; the same one again without effect."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def upload(self, records: Sequence[Record[Any]]) -> None:
        """Return once the store has every picture.

        Raises:
            TransientError: the store is away.
        """
        pictures = {
            record.event.sha256: record.event.image
            for record in records
            if isinstance(record.event, Snapshot)
        }
        for sha256, image in pictures.items():
            self._objects.write(sha256, image)
