"""The lanes that detection reads."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mesh.events import Lane
from mesh.record import Record
from mesh.scheduler import LaneSpec, by_priority, never, older_than_max_age
from mesh.topics import Topics

LANES = ((Lane.URGENT, 4, 32), (Lane.REQUEST, 3, 32), (Lane.LIVE, 2, 256), (Lane.EVIDENCE, 1, 32))
"""Lane, guaranteed share of a batch, records held in memory."""


def lanes_of(topics: Topics, held: Callable[[], bool] = never) -> Sequence[LaneSpec]:
    """The frame topics, most urgent first; evidence waits while the next stages are behind.

    Frames of urgent cameras age and are overtaken like live ones, beside pictures that clients wait
    for.
    """
    urgent, request, live, evidence = (
        LaneSpec(
            name=lane,
            topics=(topics.lane(lane),),
            share=share,
            weight=by_priority,
            prefetch=prefetch,
        )
        for lane, share, prefetch in LANES
    )
    urgent = replace(urgent, newest_wins=True, yields=is_unasked, stale=older_unless_asked)
    live = replace(live, newest_wins=True, stale=older_than_max_age)
    return urgent, request, live, replace(evidence, held=held)


def is_unasked(record: Record[Any]) -> bool:
    """A frame of a camera: nobody waits for its answer."""
    return record.event.request is None


def older_unless_asked(record: Record[Any], now: datetime) -> str | None:
    """Frames of cameras are stale once they are too old; a client's picture has a deadline."""
    return older_than_max_age(record, now) if is_unasked(record) else None
