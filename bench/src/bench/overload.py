"""Overload: three times the capacity that was measured just before, in live cameras of mixed rates.

The same cameras at half the capacity are the yardstick: what the mesh admits under overload must
arrive nearly as fast, every camera must get its fair share, urgent pictures must not notice, and
the ledger must account for every frame.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.feed import Feed
from bench.figures import fair_shares, jain, percentiles, say
from bench.material import Material
from bench.mesh_soak import CAMERAS, FPS
from bench.players import Player, close_all, players, playing
from bench.pushes import Pushes, pushing
from bench.site import Site, folder, plan, running
from bench.whole import saturate
from mesh.events import Lane

RATES = (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)
"""Of the cameras, relative to each other."""
TIMES = 3.0
_WARM_UP_FRAMES = 60
_SETTLE_SECONDS = 4.0
_NOISE = 1.25
"""Urgent p95 may differ by so much between two phases of the same load."""
_GROWTH_MB = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long and how much."""

    warm_up: float = 75.0
    """Seconds of nominal load before; the broker's compiler works in them."""
    seconds: float = 30.0
    """Of each phase."""
    frames: int = 300
    """Of the run that measures the capacity."""


def measure(where: Material, options: Options) -> dict[str, Any]:
    """Capacity, half of it, three times it."""
    pictures = where.pictures()
    with folder() as layout, running(plan(layout, where)) as site:
        site.enrol(dict(where.portraits()))
        camera = site.add_camera("Pushed", where.clip, 1.0)
        site.post(f"/cameras/{camera}/stop-detection")
        with Feed(site) as feed:
            saturate(site, feed, pictures, cameras=CAMERAS, frames=_WARM_UP_FRAMES)
            _warm_up(site, pictures, options.warm_up)
            run = saturate(site, feed, pictures, cameras=CAMERAS, frames=options.frames)
            capacity = float(run["fps"])
            phases = {
                name: _phase(site, feed, pictures, camera, total=capacity * times, options=options)
                for name, times in (("half", 0.5), ("overload", TIMES))
            }
        report = {"capacity_fps": round(capacity, 1), **phases, "restarts": site.restarts()}
    report["goals"] = goals(report)
    _tell(report)
    return report


def _warm_up(site: Site, pictures: Sequence[bytes], seconds: float) -> None:
    cast = players(CAMERAS, Lane.LIVE, site.settings.partitions)
    for player in cast:
        player.fps = FPS
    with playing(site, cast, pictures):
        time.sleep(seconds)
    close_all(site, cast)


def _phase(
    site: Site,
    feed: Feed,
    pictures: Sequence[bytes],
    camera: str,
    *,
    total: float,
    options: Options,
) -> dict[str, Any]:
    cast = players(len(RATES), Lane.LIVE, site.settings.partitions)
    for player, rate in zip(cast, RATES, strict=True):
        player.fps = total * rate / sum(RATES)
    say(f"{len(cast)} live cameras, {total:.1f} frames/s together, {options.seconds:g} s")
    with (
        playing(site, cast, pictures),
        pushing(site, camera, pictures[0], priority="urgent", every=0.5) as urgent,
        pushing(site, camera, pictures[1], priority="normal", every=2.0) as normal,
    ):
        time.sleep(_SETTLE_SECONDS)
        urgent.answered_ms.clear()
        normal.answered_ms.clear()
        known, before = set(feed.seen), site.usage()
        published = [player.published for player in cast]
        time.sleep(options.seconds)
        after = site.usage()
        seen = {key: each for key, each in feed.seen.items() if key not in known}
        demands = [p.published - start for p, start in zip(cast, published, strict=True)]
    close_all(site, cast)
    names = {player.camera_id for player in cast}
    admitted = [each for each in seen.values() if each.camera_id in names]
    done = Counter(each.camera_id for each in admitted if each.outcome == "processed")
    got = [done[player.camera_id] for player in cast]
    fair = fair_shares(demands, sum(got))
    return {
        "offered_fps": round(sum(demands) / options.seconds, 1),
        "admitted_fps": round(sum(got) / options.seconds, 1),
        "latency_ms": percentiles([each.latency_ms for each in admitted]),
        "fairness": round(jain([a / b for a, b in zip(got, fair, strict=True) if b]), 4),
        "by_camera": [
            {"offered": asked, "admitted": had, "fair": round(share, 1)}
            for asked, had, share in zip(demands, got, fair, strict=True)
        ],
        "urgent": _told(urgent),
        "normal": _told(normal),
        "ledger": _settled(site, cast),
        "rss_growth_mb": {
            name: round(after.rss_mb[name] - value, 1) for name, value in before.rss_mb.items()
        },
        "feed_dropped": feed.dropped,
    }


def _told(pushes: Pushes) -> dict[str, Any]:
    return {
        "answered": len(pushes.answered_ms),
        "latency_ms": percentiles(pushes.answered_ms),
        "refused": pushes.refused,
        "failed": pushes.failed[:5],
    }


def _settled(site: Site, cast: Sequence[Player]) -> dict[str, Any]:
    """What the book says of these cameras once it has caught up, or after half a minute."""
    published = sum(player.published for player in cast)
    site.eventually(lambda: _accounted(site, cast) >= published, within=30)
    return {
        "captured": published,
        "unaccounted": published - _accounted(site, cast),
        "book": site.book([player.camera_id for player in cast]),
    }


def _accounted(site: Site, cast: Sequence[Player]) -> int:
    """Frames with an end that is not a loss; who ended twice counts once."""
    [(count,)] = site.sql(
        "SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM ("
        " SELECT camera_id, epoch, range_agg(numbers) AS ended FROM results.ledger"
        " WHERE outcome IN ('processed', 'failed', 'shed') AND camera_id = ANY(%s)"
        " GROUP BY 1, 2) AS books, unnest(ended) AS r",
        [player.camera_id for player in cast],
    )
    return int(count)


def goals(report: Mapping[str, Any]) -> dict[str, bool]:
    """Which goals hold."""
    half, over = report["half"], report["overload"]
    urgent = (half["urgent"]["latency_ms"], over["urgent"]["latency_ms"])
    return {
        "p99 of admitted <= 2 x at half load": _of(over["latency_ms"], "p99")
        <= 2 * _of(half["latency_ms"], "p99"),
        "fairness >= 0.95": over["fairness"] >= 0.95,
        "urgent p95 unchanged within noise": _of(urgent[1], "p95")
        <= _NOISE * _of(urgent[0], "p95"),
        "unaccounted 0": half["ledger"]["unaccounted"] == over["ledger"]["unaccounted"] == 0,
        "memory bounded": max(over["rss_growth_mb"].values()) <= _GROWTH_MB,
    }


def _of(found: Mapping[str, float], name: str) -> float:
    """A percentile; without a value nothing holds."""
    return found.get(name, float("nan"))


def _tell(report: Mapping[str, Any]) -> None:
    say(f"\ncapacity {report['capacity_fps']} frames/s")
    for name in ("half", "overload"):
        phase = report[name]
        say(
            f"{name}: offered {phase['offered_fps']}, admitted {phase['admitted_fps']} frames/s, "
            f"latency {phase['latency_ms']}, fairness {phase['fairness']}, "
            f"urgent {phase['urgent']}, normal {phase['normal']}, ledger {phase['ledger']}"
        )
    for goal, holds in report["goals"].items():
        say(f"{'holds ' if holds else 'MISSED'}  {goal}")
