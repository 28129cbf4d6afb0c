"""What leaves a worker: outputs and dead letters, acknowledged before any offset is stored."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mesh.deadletters import DeadLetters
from mesh.errors import RejectedRecordError
from mesh.kafka.lane import Consumed
from mesh.ports import Codec, Producer, WorkerMetrics
from mesh.record import MAX_VALUE_BYTES, Headers
from mesh.stage import Output
from mesh.tracing import child_headers


@dataclass(frozen=True, slots=True)
class Parcel:
    """An output, encoded."""

    topic: str
    key: str
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a record: its outputs, and the reason of its dead letter, if it has one."""

    record: Consumed
    parcels: Sequence[Parcel] = ()
    letter: str | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """A batch on its way to the broker: until it is acknowledged no offset moves."""

    settled: Sequence[Settled]
    more: Sequence[Parcel] = ()
    """Outputs that belong to no record."""

    @property
    def parcels(self) -> list[Parcel]:
        """Every output, in order."""
        return [*self.more, *(parcel for each in self.settled for parcel in each.parcels)]

    @property
    def letters(self) -> list[tuple[Consumed, str]]:
        """The records that become dead letters, and why."""
        return [(each.record, each.letter) for each in self.settled if each.letter is not None]


class Outbox:
    """Publishes what became of records; every output joins the trace of its record."""

    def __init__(
        self,
        *,
        codec: Codec,
        producer: Producer,
        dead_letters: DeadLetters,
        metrics: WorkerMetrics,
        flush_timeout: timedelta,
    ) -> None:
        self._codec = codec
        self._producer = producer
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._flush_timeout = flush_timeout

    def pack(self, headers: Headers, outputs: Sequence[Output]) -> list[Parcel]:
        """Encode the outputs of a record with these headers.

        Raises:
            RejectedRecordError: an output is larger than any topic takes.
            TransientError: the schema registry cannot be reached.
        """
        trace = child_headers(headers) if outputs else {}
        return [self._pack(output, trace) for output in outputs]

    def send(self, leaving: Leaving) -> None:
        """Publish it all without waiting; may be repeated as a whole.

        Raises:
            TransientError: there was no room to queue it.
            MeshError: it never will be taken, for example for want of the dead-letter topic.
        """
        for parcel in leaving.parcels:
            self._producer.produce(parcel.topic, parcel.key, parcel.value, parcel.headers)
        for record, reason in leaving.letters:
            self._dead_letters.write(record, record.original, reason)

    def confirm(self, leaving: Leaving) -> None:
        """Wait until the broker has acknowledged all that was sent.

        Raises:
            TransientError: the broker did not acknowledge everything; it must be sent again.
            MeshError: it never will, for example for want of a topic.
        """
        self._producer.flush(self._flush_timeout)
        self._count(leaving.parcels, [reason for _, reason in leaving.letters])

    def _pack(self, output: Output, trace: Headers) -> Parcel:
        value = None if output.event is None else self._codec.encode(output.topic, output.event)
        if value is not None and len(value) > MAX_VALUE_BYTES:
            raise RejectedRecordError(
                f"output_too_large: {len(value)} bytes for {output.topic}, limit {MAX_VALUE_BYTES}"
            )
        return Parcel(output.topic, output.key, value, {**trace, **output.headers})

    def _count(self, parcels: Iterable[Parcel], letters: Iterable[str]) -> None:
        for topic, count in Counter(parcel.topic for parcel in parcels).items():
            self._metrics.produced(topic, count)
        for reason in letters:
            self._metrics.rejected(reason)
