"""The whole mesh: latency at nominal load, frames per second at saturation, memory, start times."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.bare import BareProcess
from bench.feed import Feed
from bench.figures import GROWTH_MB, SOAK_MINUTES, percentiles, say, table
from bench.material import Material
from bench.mesh_soak import CAMERAS, FPS, SERVICES, soak, tell_soak
from bench.players import Player, close_all, players, publish_all
from bench.site import Site, cpu_ms, cpu_share, folder, plan, running
from bench.stages import shares, spans
from mesh.events import FrameResult, Lane

_WARM_UP_FRAMES = 60
_SLOWEST_FPS = 2.0
_LIGHT = ("aggregator", "writer", "keeper", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long and how much."""

    warm_up: float = 60.0
    """Seconds of nominal load before latency is measured; the broker's compiler works in them."""
    seconds: float = 30.0
    """Of latency at nominal load."""
    frames: int = 400
    """Of each run at saturation."""
    rounds: int = 2
    """Bare and mesh take turns so often."""
    scales: Sequence[int] = (1, 2, 4)
    """Times the cameras, at saturation."""
    soak_minutes: float = 0.0
    """Of nominal load, for memory over time."""
    restart: bool = True
    """Whether the installation is started a second time for the start times."""


def measure(where: Material, options: Options) -> dict[str, Any]:
    """Everything, in one installation of its own."""
    report: dict[str, Any] = {"start_s": {}}
    with folder() as layout:
        wanted = plan(layout, where)
        if options.restart:
            began = time.monotonic()
            with running(wanted):
                report["start_s"]["first"] = round(time.monotonic() - began, 1)
        began = time.monotonic()
        with running(wanted) as site:
            name = "second" if options.restart else "first"
            report["start_s"][name] = round(time.monotonic() - began, 1)
            say(f"start, seconds: {report['start_s']}")
            report["enrolled"] = site.enrol(dict(where.portraits()))
            report |= latency(site, where, options)
            report |= saturation(site, where, options, persons=report["enrolled"])
            report["rss_mb"] = _rss(site)
            if options.soak_minutes:
                report |= soak(site, where.clip, options.soak_minutes)
            report["restarts"] = site.restarts()
    report["goals"] = goals(report)
    _tell(report)
    return report


def latency(site: Site, where: Material, options: Options) -> dict[str, Any]:
    """Nominal load by real captures: from a camera's reception to a WebSocket client."""
    seconds = options.seconds
    say(f"latency: {CAMERAS} cameras of 640 x 360 at {FPS:g} frames/s, {seconds:g} s")
    with Feed(site) as feed:
        cameras = [site.add_camera(f"Bench {i}", where.clip, FPS) for i in range(CAMERAS)]
        feed.await_cameras(cameras, within=60)
        time.sleep(options.warm_up)
        before, known = site.usage(), set(feed.seen)
        time.sleep(seconds)
        after = site.usage()
        seen = {key: frame for key, frame in feed.seen.items() if key not in known}
        for camera_id in cameras:
            site.remove_camera(camera_id)
        time.sleep(1)
    results = {
        record.event.frame.frame_key: record.event
        for record in site.read("results")["results"]
        if isinstance(record.event, FrameResult)
    }
    parts = [
        spans(results[key].frame, results[key].stages, frame.arrived_at)
        for key, frame in seen.items()
        if key in results
    ]
    return {
        "latency_ms": percentiles([frame.latency_ms for frame in seen.values()]),
        "latency_frames": len(seen),
        "latency_fps": round(len(seen) / (after.at - before.at), 1),
        "latency_faces": round(sum(f.faces for f in seen.values()) / max(len(seen), 1), 2),
        "latency_stages_ms": shares(parts),
        "latency_cpu_share": cpu_share(before, after),
    }


def saturation(site: Site, where: Material, options: Options, persons: int) -> dict[str, Any]:
    """Pre-captured frames as fast as the mesh takes them, and the bare loop in turns."""
    pictures = where.pictures()
    mesh_runs, bare_runs = [], []
    with Feed(site) as feed, BareProcess(persons) as bare:
        saturate(site, feed, pictures, cameras=CAMERAS, frames=_WARM_UP_FRAMES)
        for _ in range(options.rounds):
            bare_runs.append(bare.run(options.frames))
            say(f"bare: {bare_runs[-1]['fps']:.1f} frames/s")
            mesh_runs.append(saturate(site, feed, pictures, cameras=CAMERAS, frames=options.frames))
        scaled = {}
        for scale in options.scales:
            cameras = CAMERAS * scale
            scaled[cameras] = saturate(site, feed, pictures, cameras=cameras, frames=options.frames)
        dropped = feed.dropped
    mesh_fps = sum(run["fps"] for run in mesh_runs) / len(mesh_runs)
    bare_fps = sum(run["fps"] for run in bare_runs) / len(bare_runs)
    return {
        "mesh_fps": round(mesh_fps, 1),
        "bare_fps": round(bare_fps, 1),
        "ratio": round(mesh_fps / bare_fps, 3),
        "mesh_runs": mesh_runs,
        "bare_runs": bare_runs,
        "by_cameras": scaled,
        "feed_dropped": dropped,
    }


def saturate(
    site: Site, feed: Feed, pictures: Sequence[bytes], *, cameras: int, frames: int
) -> dict[str, Any]:
    """One run: frames on the evidence lane, where nothing is shed, until all have arrived."""
    cast = players(cameras, Lane.EVIDENCE, site.settings.partitions)
    before = site.usage()
    publish_all(site, cast, pictures, frames)
    keys = set().union(*(player.keys for player in cast))
    last = feed.await_frames(keys, within=frames / _SLOWEST_FPS)
    after = site.usage()
    close_all(site, cast)
    seen = feed.seen
    arrived = [seen[key] for key in keys if key in seen]
    processed = sum(frame.outcome == "processed" for frame in arrived)
    stored = time.monotonic()
    site.eventually(lambda: _claimed(site, cast) >= len(arrived), within=30)
    run = {
        "frames": frames,
        "arrived": len(arrived),
        "processed": processed,
        "fps": processed / (last - before.at),
        "faces": sum(frame.faces for frame in arrived) / max(len(arrived), 1),
        "stored_after_s": round(time.monotonic() - stored, 2),
        "cpu_ms": cpu_ms(before, after, len(arrived)),
    }
    say(
        f"mesh, {cameras} cameras: {run['fps']:.1f} frames/s, processor ms a frame: {run['cpu_ms']}"
    )
    return run


def _claimed(site: Site, cast: Sequence[Player]) -> int:
    """Frames of these cameras that the ledger knows the end of."""
    book = site.book([player.camera_id for player in cast])
    return sum(book.values()) - book.get("captured", 0)


def _rss(site: Site) -> dict[str, float]:
    return {name: round(value, 1) for name, value in site.usage().rss_mb.items() if name != "bench"}


def goals(report: Mapping[str, Any]) -> dict[str, bool]:
    """Which goals hold."""
    rss = _highest(report)
    runs = [*report["mesh_runs"], *report["by_cameras"].values()]
    found = {
        "latency p95 < 150 ms": report["latency_ms"].get("p95", 1e9) < 150,
        "ratio >= 0.6": report["ratio"] >= 0.6,
        "every frame processed at saturation": all(
            run["processed"] == run["arrived"] == run["frames"] for run in runs
        ),
        "services < 300 MB": all(rss[name] < 300 for name in SERVICES),
        "aggregator and results < 150 MB": all(rss[name] < 150 for name in _LIGHT),
    }
    if report.get("soak_minutes", 0.0) >= SOAK_MINUTES:
        found["no growth"] = all(
            service["mb_per_hour"] <= GROWTH_MB for service in report["soak"].values()
        )
    return found


def _highest(report: Mapping[str, Any]) -> dict[str, float]:
    """Memory by process: in a soak the most, before it that at the end."""
    soaked = {name: service["most_mb"] for name, service in report.get("soak", {}).items()}
    return {name: max(mb, soaked.get(name, 0.0)) for name, mb in report["rss_mb"].items()}


def _tell(report: Mapping[str, Any]) -> None:
    head = ("stage or hop", "mean ms", "p95 ms", "share")
    rows = [
        (name, part["mean"], part["p95"], f"{part['share']:.0%}")
        for name, part in report["latency_stages_ms"].items()
    ]
    say(f"\nlatency, ms: {report['latency_ms']}, {report['latency_frames']} frames\n")
    say(table(head, rows))
    say(
        f"\nsaturation: mesh {report['mesh_fps']} and bare {report['bare_fps']} frames/s, "
        f"ratio {report['ratio']}"
    )
    say(f"memory, MB: {report['rss_mb']}")
    if "soak" in report:
        tell_soak(report)
    for goal, holds in report["goals"].items():
        say(f"{'holds ' if holds else 'MISSED'}  {goal}")
