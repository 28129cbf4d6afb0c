"""Events out through Faust's producer, each with an acknowledgement to wait for."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import faust

from mesh.errors import RejectedRecordError
from mesh.ports import Codec, WorkerMetrics
from mesh.record import MAX_VALUE_BYTES, Headers
from mesh.stage import Output


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as it goes out."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Publisher:
    """Encodes outputs and sends them in order.

    Args:
        app: The Faust application whose producer sends.
        codec: Events to bytes.
        metrics: Counts what was sent.
    """

    def __init__(self, app: faust.App, codec: Codec, metrics: WorkerMetrics) -> None:
        self._app = app
        self._codec = codec
        self._metrics = metrics

    def encode(self, outputs: Sequence[Output], headers: Headers) -> list[Encoded]:
        """The outputs as records with these headers.

        Raises:
            RejectedRecordError: One is larger than the broker takes.
        """
        return [self._encode(output, headers) for output in outputs]

    async def send(self, records: Sequence[Encoded]) -> list[Awaitable[object]]:
        """Hand the records to the producer; the results say when the broker has them."""
        return [await self._send(record) for record in records]

    def _encode(self, output: Output, headers: Headers) -> Encoded:
        value = self._codec.encode(output.topic, output.event)
        if len(value) > MAX_VALUE_BYTES:
            raise RejectedRecordError(
                f"output_too_large: {len(value)} bytes for {output.topic}, limit {MAX_VALUE_BYTES}"
            )
        return Encoded(output.topic, output.key, value, {**headers, **output.headers})

    async def _send(self, record: Encoded) -> Awaitable[object]:
        key = None if record.key is None else record.key.encode()
        sent: Awaitable[object] = await self._app.producer.send(
            record.topic, key, record.value, None, None, dict(record.headers)
        )
        self._metrics.produced(record.topic, 1)
        return sent
