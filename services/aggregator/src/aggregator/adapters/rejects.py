"""Records that can never succeed: their dead letters, as many as bad data explains."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aggregator.adapters.publisher import Encoded
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterLimit, DeadLetters
from mesh.logs import package_version
from mesh.ports import WorkerMetrics
from mesh.record import Headers, Record


class Rejects:
    """Turns rejected records into dead letters.

    Args:
        cipher: Encrypts them.
        topic: Where they go.
        service: Who rejects.
        metrics: Counts them.
    """

    def __init__(self, *, cipher: Cipher, topic: str, service: str, metrics: WorkerMetrics) -> None:
        self._collected = _Collected()
        self._letters = DeadLetters(
            self._collected,
            cipher,
            topic=topic,
            service=service,
            version=package_version(service),
        )
        self._limit = DeadLetterLimit()
        self._metrics = metrics

    def accepted(self, key: str | None) -> None:
        """A record succeeded."""
        self._limit.accepted(key)

    def letter(self, record: Record[Any], original: bytes | None, reason: str) -> Sequence[Encoded]:
        """The dead letter of a record, to be sent.

        Raises:
            DeadLetterLimitError: That makes too many; the deployment must be bad.
        """
        self._limit.rejected(record.key)
        self._metrics.rejected(reason)
        self._letters.write(record, original, reason)
        return self._collected.take()


class _Collected:
    """A producer of the mesh that keeps what it is given until it is taken."""

    def __init__(self) -> None:
        self._records: list[Encoded] = []

    def produce(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Keep a record."""
        self._records.append(Encoded(topic, key, value, headers or {}))

    def flush(self, timeout: timedelta) -> None:
        """Nothing leaves from here."""

    def take(self) -> list[Encoded]:
        """What was kept, once."""
        taken, self._records = self._records, []
        return taken
