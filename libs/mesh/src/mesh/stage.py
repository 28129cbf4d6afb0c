"""What a service does with records: one use case behind one Protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from mesh.record import Record

In = TypeVar("In", contravariant=True)  # noqa: PLC0105 -- the field's name for it (house style)


@dataclass(frozen=True, slots=True)
class Output:
    """An event to publish; an event of `None` is a tombstone for its key."""

    topic: str
    key: str
    event: Any
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Emit:
    """The record produced these outputs, possibly none."""

    outputs: Sequence[Output] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """The record can never succeed; park it in the dead-letter topic."""

    reason: str


class Stage(Protocol[In]):
    """One step of the pipeline: a batch of records in, one outcome per record out, in order.

    Must be safe to call twice with the same record (delivery is at-least-once). Raises
    `TransientError` when nothing about the records is wrong; the worker then retries the whole
    batch.
    """

    def process(self, batch: Sequence[Record[In]]) -> Sequence[Emit | Reject]:
        """Work on the batch; may block, must not keep references to it."""

    def give_up(
        self, batch: Sequence[Record[In]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """The outcome of records that will not be processed: one per record, in order.

        Called with `shed` for what the scheduler gave up for one reason, all of it together, so
        that the stage may sum it up in the outputs of the first; with `failed` for a record that
        ended its process twice (`poison`). Somebody may wait for a frame: it must still leave the
        stage with an outcome.
        """
