"""The lanes that detection reads."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mesh.events import Lane
from mesh.scheduler import LaneSpec, by_priority, never, older_than_max_age
from mesh.topics import Topics

LANES = ((Lane.URGENT, 4, 32), (Lane.REQUEST, 3, 32), (Lane.LIVE, 2, 256), (Lane.EVIDENCE, 1, 32))
"""Lane, guaranteed share of a batch, records held in memory."""


def lanes_of(topics: Topics, held: Callable[[], bool] = never) -> Sequence[LaneSpec]:
    """The frame topics, most urgent first; evidence waits while the next stages are behind."""
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
    live = replace(live, newest_wins=True, stale=older_than_max_age)
    return urgent, request, live, replace(evidence, held=held)
