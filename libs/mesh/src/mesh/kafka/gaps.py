"""Offsets that the broker no longer had, told to the world: nothing is skipped in silence."""

from collections.abc import Callable, Sequence
from datetime import datetime

from mesh import events
from mesh.clock import Clock
from mesh.identity import derived_id
from mesh.kafka.progress import Gap
from mesh.settings import MeshSettings
from mesh.stage import Output

OFFSET_GAP = "offset_gap"
"""Type of the log event."""


def gap_reporter(
    settings: MeshSettings, service: str, clock: Clock
) -> Callable[[str, Gap], Sequence[Output]]:
    """Makes a log event of a gap that a consumer group met; the same gap is the same event."""

    def report(group: str, gap: Gap) -> Sequence[Output]:
        topic, partition = gap.source
        event = events.LogEvent(
            event_id=derived_id("evt", group, topic, partition, gap.first, gap.next),
            event_type=OFFSET_GAP,
            occurred_at=clock.now(),
            severity="error",
            service=service,
            instance_id=settings.instance_id,
            message=(
                f"{gap.next - gap.first} records of {topic}, partition {partition}, "
                "were deleted before they were read"
            ),
            attributes={
                "topic": topic,
                "partition": str(partition),
                "first_missing": str(gap.first),
                "last_missing": str(gap.next - 1),
                "consumer_group": group,
                **_moment("since", gap.since),
                **_moment("until", gap.until),
            },
        )
        return [Output(settings.topics("events"), topic, event)]

    return report


def _moment(name: str, at: datetime | None) -> dict[str, str]:
    return {} if at is None else {name: at.isoformat(timespec="milliseconds")}
