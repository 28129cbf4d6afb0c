"""Where a frame's time goes: every stage and the hop before it, from the times that it carries."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from bench.figures import percentiles
from mesh.events import FrameHeader, StageTime

CLIENT = "client"


def spans(
    frame: FrameHeader, stages: Sequence[StageTime], arrived_at: datetime | None = None
) -> dict[str, float]:
    """Milliseconds of each stage and of each hop between two, in the order of the frame's way.

    The first hop begins when the frame was received; the last one, if its end is known, ends at
    the client.
    """
    found: dict[str, float] = {}
    before, at = "received", frame.received_timestamp
    for stage in stages:
        found[f"{before} → {stage.stage}"] = _ms(at, stage.started_at)
        found[stage.stage] = _ms(stage.started_at, stage.ended_at)
        before, at = stage.stage, stage.ended_at
    if arrived_at is not None:
        found[f"{before} → {CLIENT}"] = _ms(at, arrived_at)
    return found


def shares(frames: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Per stage and hop: percentiles, the mean, and its share of the mean whole."""
    collected: dict[str, list[float]] = defaultdict(list)
    for frame in frames:
        for name, value in frame.items():
            collected[name].append(value)
    means = {name: sum(values) / len(values) for name, values in collected.items()}
    whole = sum(means.values())
    return {
        name: {
            **percentiles(values),
            "mean": round(means[name], 1),
            "share": round(means[name] / whole, 3) if whole else 0.0,
        }
        for name, values in collected.items()
    }


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000.0
