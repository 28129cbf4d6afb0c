"""Looks for captured frames that can no longer arrive, and says so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import psycopg

from mesh.clock import Clock
from mesh.events import LogEvent, Outcome
from mesh.identity import derived_id
from mesh.logs import get_logger
from mesh.topics import Topics
from results.adapters import ledger_sql as statements
from results.adapters import writer_statistics as statistics
from results.adapters.ledger_metrics import LedgerMetrics
from results.adapters.writer_sql import write_book
from results.domain.gaps import OffsetGap, reasons
from results.domain.ledger import BLOCK, Book, Cell, CellKey, EpochKey
from results.domain.numbers import NumberSet
from results.domain.sweep import (
    Remainder,
    SweepPolicy,
    Verdict,
    Watch,
    judge,
    span_of,
)
from results.ports import LogEnds

LOST = "frames_lost"
"""The type of the event that tells of lost frames."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Numbers of one epoch that are lost for one reason."""

    watch: Watch
    reason: str
    numbers: NumberSet


class LedgerSweep:
    """One look at every epoch that is not settled; a job of a keeper, so only one runs at a time.

    It judges by a barrier: the ends of the writer's partitions, taken at the look before. Until the
    writer is past all of them nothing is judged, however far behind it is and however many there
    are. Two sweeps at once would only write the same sets twice.
    """

    def __init__(
        self,
        *,
        ends: LogEnds,
        encode: Callable[[LogEvent], bytes],
        policy: SweepPolicy,
        clock: Clock,
        metrics: LedgerMetrics,
        topics: Topics,
        instance_id: str,
    ) -> None:
        self._ends = ends
        self._encode = encode
        self._policy = policy
        self._clock = clock
        self._metrics = metrics
        self._topics = topics
        self._instance_id = instance_id
        self._log = get_logger("ledger")

    def __call__(self, connection: psycopg.Connection[Any]) -> int:
        """Sweep, if the writer has caught up with the barrier; returns how many frames are lost.

        Raises:
            TransientError: the broker, the registry or the database is away.
        """
        until = self._pass_barrier(connection)
        if until is None:
            return 0
        watched = statements.watches(connection)
        now = self._clock.now()
        rests = statements.remainders(connection, list(watched.values()))
        verdicts = [
            judge(watch, rests[key], self._policy, until=until, now=now)
            for key, watch in watched.items()
        ]
        lost = [verdict for verdict in verdicts if verdict.lost]
        losses = self._losses(connection, watched, rests, lost) if lost else []
        self._write(connection, watched, verdicts, losses, rests)
        self._metrics.swept(verdicts, now)
        for loss in losses:
            self._metrics.lost(loss.reason, len(loss.numbers))
        return sum(len(loss.numbers) for loss in losses)

    def _pass_barrier(self, connection: psycopg.Connection[Any]) -> datetime | None:
        """When the barrier was taken that the writer has passed; a new one is taken then."""
        now = self._clock.now()
        spans = self._ends.read()
        barrier = statements.read_barrier(connection)
        taken_at = max((at for _, _, at in barrier.values()), default=None)
        if barrier.keys() == spans.keys() and taken_at is not None:
            for partition, (ends, written, _) in barrier.items():
                first, end = spans[partition]
                # Deleted unread, or of a topic that was created anew: nobody will ever write it.
                if written < min(ends, end) and first < ends:
                    self._metrics.behind((now - taken_at).total_seconds())
                    return None
        self._metrics.behind(0.0)
        statements.take_barrier(connection, {key: end for key, (_, end) in spans.items()}, now)
        return taken_at if barrier.keys() == spans.keys() else None

    def _losses(
        self,
        connection: psycopg.Connection[Any],
        watched: Mapping[EpochKey, Watch],
        rests: Mapping[EpochKey, Remainder],
        lost: Sequence[Verdict],
    ) -> list[Loss]:
        gaps: Sequence[OffsetGap] = statements.gaps(connection, self._topics)
        return [
            Loss(watched[key], reason, numbers)
            for verdict in lost
            for key in [verdict.after.key]
            for reason, numbers in reasons(
                watched[key], verdict.lost, rests[key].spans, gaps, self._policy
            )
        ]

    def _write(
        self,
        connection: psycopg.Connection[Any],
        watched: Mapping[EpochKey, Watch],
        verdicts: Sequence[Verdict],
        losses: Sequence[Loss],
        rests: Mapping[EpochKey, Remainder],
    ) -> None:
        now = self._clock.now()
        changed = [each for each in verdicts if _differs(watched[each.after.key], each)]
        payloads = {
            camera_id: self._encode(self._event(connection, camera_id, list(mine), now))
            for camera_id, mine in groupby(losses, key=lambda loss: loss.watch.key.camera_id)
        }
        with connection.transaction(), connection.cursor() as cursor:
            book = _book(losses, rests)
            statistics.count(cursor, (), book)
            write_book(cursor, book)
            if changed:
                statements.measure(cursor, [each.after for each in changed])
                statements.note(cursor, changed, now)
            for camera_id, payload in payloads.items():
                statements.announce(cursor, camera_id, payload)

    def _event(
        self,
        connection: psycopg.Connection[Any],
        camera_id: str,
        losses: Sequence[Loss],
        now: datetime,
    ) -> LogEvent:
        counts: dict[str, int] = {}
        for loss in losses:
            counts[loss.reason] = counts.get(loss.reason, 0) + len(loss.numbers)
        places = sorted(f"{loss.watch.key.epoch}:{loss.numbers.lowest}" for loss in losses)
        total = sum(counts.values())
        self._log.error("frames_lost", camera_id=camera_id, frames=total, **counts)
        return LogEvent(
            event_id=derived_id("evt", LOST, camera_id, *places, total),
            event_type=LOST,
            occurred_at=now,
            severity="error",
            service="results",
            instance_id=self._instance_id,
            camera_id=camera_id,
            camera_name=statements.camera_name(connection, camera_id),
            message=f"{total} captured frames will never have a result",
            attributes={
                "frames": str(total),
                **{reason: str(count) for reason, count in counts.items()},
                "first": places[0],
            },
        )


def _differs(before: Watch, verdict: Verdict) -> bool:
    """Whether the next sweep must know; within a block it finds the first open number itself."""
    after = verdict.after
    return (
        verdict.settled
        or after.balanced_below // BLOCK != before.balanced_below // BLOCK
        or (after.mark, after.ended_at) != (before.mark, before.ended_at)
    )


def _book(losses: Sequence[Loss], rests: Mapping[EpochKey, Remainder]) -> Book:
    """The claims, dated like the other rows of their blocks, so that they expire with them."""
    found = {}
    for loss in losses:
        key, session = loss.watch.key, loss.watch.session
        for block, numbers in loss.numbers.blocks(BLOCK):
            span = span_of(block, rests[key].spans, session)
            found[CellKey(*key, block, str(Outcome.LOST), loss.reason)] = Cell(
                numbers, session.lane, span.first_at, span.last_at
            )
    return Book(found, {})
