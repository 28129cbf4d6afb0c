"""The whole mesh at nominal load for long: memory of each service, and latency."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.feed import Feed
from bench.figures import grown, percentiles, say, table
from bench.site import Site

CAMERAS, FPS = 4, 5.0
SERVICES = ("camera", "detection", "recognition", "aggregator", "writer", "keeper", "gateway")
_SAMPLE_SECONDS = 15.0


def soak(site: Site, clip: Path, minutes: float) -> dict[str, Any]:
    """Memory by minute, how it grows in the second half, and what latency was in it.

    Args:
        site: a running installation.
        clip: what the cameras show.
        minutes: how long.
    """
    say(f"soak: {minutes:g} minutes")
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVICES}
    early: set[str] = set()
    with Feed(site) as feed:
        cameras = [site.add_camera(f"Soak {i}", clip, FPS) for i in range(CAMERAS)]
        began = time.monotonic()
        while (at := (time.monotonic() - began) / 60.0) < minutes:
            usage = site.usage()
            for name in SERVICES:
                points[name].append((round(at, 2), round(usage.rss_mb[name], 1)))
            if at < minutes / 2:
                early = set(feed.seen)
            time.sleep(min(_SAMPLE_SECONDS, minutes * 3))
        late = [frame.latency_ms for key, frame in feed.seen.items() if key not in early]
        for camera_id in cameras:
            site.remove_camera(camera_id)
    return {
        "soak_minutes": minutes,
        "soak_latency_ms": percentiles(late),
        "soak_frames": len(late),
        "soak": {name: grown(values) for name, values in points.items()},
        "soak_points_mb": points,
    }


def tell_soak(report: Mapping[str, Any]) -> None:
    """Say what a soak found.

    Args:
        report: what `soak` returned.
    """
    columns = ("first_mb", "warm_mb", "last_mb", "most_mb", "mb_per_hour")
    rows = [(name, *(each[column] for column in columns)) for name, each in report["soak"].items()]
    say(f"\nsoak of {report['soak_minutes']:g} minutes\n")
    say(table(("service", *columns), rows))
    say(
        f"\nlatency in its second half, ms: {report['soak_latency_ms']}, "
        f"{report['soak_frames']} frames"
    )
