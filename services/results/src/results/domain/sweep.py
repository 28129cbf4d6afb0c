"""When a captured number that nobody claimed is lost, and when an epoch is over.

A number is lost only if it can no longer arrive. The proofs (docs/delivery.md, "The frame ledger"):

- A higher number of its epoch went through every stage. An epoch has one lane, and a lane keeps the
  order of a camera at every hop.
- A frame of the same camera and lane went through that was received after the epoch's last sign of
  life: the same order holds across epochs.
- Every topic on its way has deleted it.

A proof becomes a *mark*: the numbers below it are due. What is still unclaimed a grace later, when
everything that was published until then is in the book, is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.events import Lane
from results.domain.ledger import BLOCK, EpochKey, Session
from results.domain.numbers import NumberSet

DOWNSTREAM = ("detections", "recognitions")
"""Catalogue names of the topics that a frame's record passes after its lane."""
MOST_LOST = 1 << 20
"""Numbers of an epoch that one sweep books as lost."""
SINGLE_SOURCE = frozenset({Lane.LIVE, Lane.EVIDENCE})
"""Lanes in which a camera has one source at a time; gateways share the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPolicy:
    """How long to wait for what."""

    lanes: Mapping[str, timedelta]
    """How long the broker keeps a frame, by lane."""
    downstream: timedelta
    """How long the later topics keep it, all together."""
    partitions: int
    """Of every topic."""
    grace: timedelta = timedelta(seconds=60)
    """How long after a proof a claim may still come."""
    silence: timedelta = timedelta(minutes=10)
    """An epoch that nothing is heard of for so long is over."""

    def expires(self, lane: str) -> timedelta:
        """After how long a record of a frame is nowhere any more.

        A broker deletes whole segments, of a sixth of the retention, and looks every few minutes.
        """
        kept = self.lanes[lane] + self.downstream
        return kept + kept / 6 + timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BlockSpan:
    """When the numbers of one block of the book were reported."""

    block: int
    first_at: datetime
    """As captured, if their source lived to say so."""
    last_at: datetime
    newest_at: datetime
    """When anything at all was last said of them."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of an epoch from the block of `Watch.balanced_below` on."""

    unclaimed: NumberSet
    """Captured, without an outcome."""
    spans: Sequence[BlockSpan] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """An epoch that is not settled, as the last sweep left it."""

    key: EpochKey
    session: Session
    stream_at: datetime | None = None
    """When the newest frame of its camera and lane was received that went through, any epoch."""
    next_opened_at: datetime | None = None
    """When the next epoch of its camera and lane began, if there is one."""
    balanced_below: int = 0
    """Every number below was claimed when the last sweep looked."""
    mark: int | None = None
    """Numbers below were due at `marked_at`."""
    marked_at: datetime | None = None
    ended_at: datetime | None = None
    """When it was over, if its source did not say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a sweep makes of an epoch."""

    after: Watch
    """How the next sweep finds it."""
    open: NumberSet
    """Captured, not claimed, not lost."""
    lost: NumberSet
    settled: bool
    """It is over, and every number has an outcome: nobody need look again."""
    oldest_open_at: datetime | None
    """About when the first open number was reported."""


def judge(
    watch: Watch, rest: Remainder, policy: SweepPolicy, *, until: datetime, now: datetime
) -> Verdict:
    """What became of the numbers of an epoch that nobody claimed.

    Args:
        watch: The epoch.
        rest: What is left of it, read together with it.
        policy: How long to wait.
        until: Everything that was published before this moment is in the book.
        now: The present, when the rows were read.
    """
    unclaimed = rest.unclaimed
    mark, marked_at, lost = watch.mark, watch.marked_at, NumberSet()
    ripe = marked_at is not None and until - marked_at >= policy.grace
    if mark is not None and ripe:
        lost, mark = _first(unclaimed & NumberSet.of([(0, mark)])), None
    left = unclaimed - lost
    if mark is None:
        due = due_below(watch, rest.spans, policy, until)
        mark = due if left and left.lowest < due else None
        marked_at = None if mark is None else now
    ended_at = ended(watch, policy, until)
    over = watch.session.closed_at is not None or ended_at is not None
    after = Watch(
        key=watch.key,
        session=watch.session,
        stream_at=watch.stream_at,
        next_opened_at=watch.next_opened_at,
        balanced_below=left.lowest if left else watch.session.highest + 1,
        mark=mark,
        marked_at=marked_at,
        ended_at=ended_at,
    )
    return Verdict(
        after=after,
        open=left,
        lost=lost,
        settled=over and not left,
        oldest_open_at=_moment_of(left.lowest, rest.spans, watch.session) if left else None,
    )


def _first(numbers: NumberSet) -> NumberSet:
    """As many as one sweep takes: a source that counts nonsense must not stop it."""
    if not numbers:
        return numbers
    return numbers & NumberSet.of([(numbers.lowest, numbers.lowest + MOST_LOST)])


def due_below(
    watch: Watch, spans: Iterable[BlockSpan], policy: SweepPolicy, until: datetime
) -> int:
    """The numbers below this can no longer be on their way."""
    session = watch.session
    seen_at = session.last_at
    overtaken = watch.stream_at is not None and watch.stream_at > seen_at + policy.grace
    if overtaken:
        return session.highest + 1
    limit = until - policy.expires(session.lane)
    expired = [(span.block + 1) * BLOCK for span in spans if span.newest_at < limit]
    return min(max([session.through, *expired]), session.highest + 1)


def ended(watch: Watch, policy: SweepPolicy, until: datetime) -> datetime | None:
    """When the epoch was over, if its source did not say so."""
    if watch.next_opened_at is not None and watch.session.lane in SINGLE_SOURCE:
        return watch.next_opened_at
    silent_at = watch.session.last_at + policy.silence
    return silent_at if silent_at < until else None


def span_of(block: int, spans: Sequence[BlockSpan], session: Session) -> BlockSpan:
    """When the numbers of a block were reported; of one without a row, within its epoch."""
    unknown = BlockSpan(block, session.first_at, session.last_at, session.last_at)
    return next((span for span in spans if span.block == block), unknown)


def _moment_of(number: int, spans: Sequence[BlockSpan], session: Session) -> datetime:
    """About when a number was reported: its place among those of its block."""
    block = number // BLOCK
    span = span_of(block, spans, session)
    highest = min(session.highest, block * BLOCK + BLOCK - 1)
    share = (number - block * BLOCK) / max(1, highest - block * BLOCK)
    return span.first_at + (span.last_at - span.first_at) * min(1.0, share)
