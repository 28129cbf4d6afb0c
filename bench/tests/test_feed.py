"""The benchmarks' client of the live feed."""

from typing import Any, cast

from bench.feed import Feed
from bench.site import Site


def an_event(number: int) -> dict[str, Any]:
    data = {
        "frame_key": f"frame-{number}",
        "camera_id": "cam",
        "outcome": "processed",
        "received_at": "2026-01-01T12:00:00+00:00",
        "detections": [{}, {}],
    }
    return {"type": "detection_event", "data": data}


def test_who_looks_at_what_was_seen_is_not_disturbed_by_what_comes() -> None:
    feed = Feed(cast(Site, None))
    feed.take(an_event(0))
    feed.take(an_event(1))
    keys = []
    for number, (key, frame) in enumerate(feed.seen.items()):
        feed.take(an_event(10 + number))
        keys.append(key)
        assert frame.faces == 2
    assert keys == ["frame-0", "frame-1"]
    assert len(feed.seen) == 4


def test_dropped_messages_are_counted_and_other_types_passed_over() -> None:
    feed = Feed(cast(Site, None))
    feed.take({"type": "dropped", "count": 3})
    feed.take({"type": "dropped", "count": 1})
    feed.take({"type": "camera_event", "data": {}})
    assert feed.dropped == 4
    assert not feed.seen
