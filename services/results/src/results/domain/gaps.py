"""Offsets that a consumer found deleted, and which lost frames they explain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mesh.events import LogEvent
from mesh.identity import derived_id
from mesh.partitioning import partition_of
from mesh.record import TopicPartition
from results.domain.balance import CRASH, RETENTION
from results.domain.ledger import BLOCK
from results.domain.numbers import NumberSet
from results.domain.sweep import DOWNSTREAM, BlockSpan, SweepPolicy, Watch, span_of

LATER = (*DOWNSTREAM, "results", "ledger")
"""Where else what is said of a frame may expire unread."""
OFFSET_GAP = "offset_gap"
"""The type of events that tell of records that were deleted unread."""


@dataclass(frozen=True, slots=True)
class OffsetGap:
    """Records that a consumer found deleted before it read them."""

    topic: str
    """Catalogue name."""
    partition: int
    since: datetime | None
    """When the record before them was published, if that is known."""
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Missing:
    """Records that the broker had deleted before their turn came."""

    source: TopicPartition
    """The topic with its full name."""
    first: int
    next: int
    """The first that was there again."""
    until: datetime | None
    """When that was published, if it is known."""


def gap_event(missing: Missing, now: datetime, instance_id: str) -> LogEvent:
    """The event of a gap that the writer itself met, as other consumers publish it."""
    topic, partition = missing.source
    first, after = missing.first, missing.next
    until = {"until": missing.until.isoformat()} if missing.until else {}
    return LogEvent(
        event_id=derived_id("evt", "results-writer", topic, partition, first, after),
        event_type=OFFSET_GAP,
        occurred_at=now,
        severity="error",
        service="results",
        instance_id=instance_id,
        message=(
            f"{after - first} records of {topic}, partition {partition}, "
            "were deleted before they were read"
        ),
        attributes={
            "topic": topic,
            "partition": str(partition),
            "first_missing": str(first),
            "last_missing": str(after - 1),
            **until,
        },
    )


def gap_of(event: Mapping[str, str], occurred_at: datetime, prefix: str) -> OffsetGap | None:
    """The gap that an event's attributes tell of; nothing if they are none of ours.

    Args:
        event: Attributes: topic, partition, since and until.
        occurred_at: When it was met.
        prefix: Of this installation's topics.
    """
    since, until = event.get("since"), event.get("until")
    try:
        return OffsetGap(
            event["topic"].removeprefix(prefix),
            int(event["partition"]),
            _moment(since) if since else None,
            _moment(until) if until else occurred_at,
        )
    except (KeyError, ValueError):
        return None


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def reasons(
    watch: Watch,
    lost: NumberSet,
    spans: Sequence[BlockSpan],
    gaps: Sequence[OffsetGap],
    policy: SweepPolicy,
) -> Iterator[tuple[str, NumberSet]]:
    """Why these numbers are lost: expired if a consumer found a gap where they must have been."""
    partition = partition_of(watch.key.camera_id, policy.partitions)
    mine = [gap for gap in gaps if gap.partition == partition]
    expired = NumberSet.of(
        part
        for block, numbers in lost.blocks(BLOCK)
        if any(_explains(gap, span_of(block, spans, watch.session), watch, policy) for gap in mine)
        for part in numbers.ranges
    )
    for reason, numbers in ((RETENTION, expired), (CRASH, lost - expired)):
        if numbers:
            yield reason, numbers


def _explains(gap: OffsetGap, span: BlockSpan, watch: Watch, policy: SweepPolicy) -> bool:
    """Whether frames that were reported within the span may have been in the gap."""
    lane = watch.session.lane
    if gap.topic == f"frames.{lane}":
        delay = timedelta(0)
    elif gap.topic in LATER:
        delay = policy.expires(lane)  # it waited on the topics before, at most for so long
    else:
        return False
    first, last = span.first_at - policy.grace, span.last_at + policy.grace + delay
    return (gap.until is None or gap.until >= first) and (gap.since is None or gap.since <= last)
