"""What a motion gate saves: the same cameras with and without it, in quiet and in busy scenes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.farm import make_clip
from bench.feed import Feed
from bench.figures import say, table
from bench.machine import in_words, machine
from bench.material import Material
from bench.mesh_soak import CAMERAS, FPS, SERVICES
from bench.site import Site, cpu_share, folder, plan, running

THRESHOLD = 0.005
"""Of the picture: a person 100 pixels high in one of 640 x 360 covers 0.02."""
_CLIP_FPS = 15
_LEARN_SECONDS = 5.0
"""For the first frames, which have nothing to be compared with."""
_SCENES = {"quiet": False, "busy": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long."""

    warm_up: float = 60.0
    """Seconds of load before anything is measured; the broker's compiler works in them."""
    seconds: float = 30.0
    """Of each row."""
    rounds: int = 2
    """Without and with the gate in turns."""


def measure(where: Material, options: Options) -> dict[str, Any]:
    """Quiet and busy scenes, without and with the gate in turns, in one installation."""
    found = machine()
    say(in_words(found))
    runs: list[dict[str, Any]] = []
    with folder() as layout, running(plan(layout, where)) as site, Feed(site) as feed:
        clips = {scene: layout.root / f"{scene}.mp4" for scene in _SCENES}
        for scene, clip in clips.items():
            make_clip(clip, _CLIP_FPS, moving=_SCENES[scene])
        _run(site, feed, clips["busy"], None, seconds=options.warm_up)
        for _ in range(options.rounds):
            for scene, clip in clips.items():
                for gate in (None, THRESHOLD):
                    run = _run(site, feed, clip, gate, seconds=options.seconds)
                    runs.append({"scene": scene, "gate": gate is not None, **run})
    report: dict[str, Any] = {
        "machine": found,
        "cameras": CAMERAS,
        "fps": FPS,
        "threshold": THRESHOLD,
    }
    summed = rows(runs)
    report |= {"runs": runs, "rows": summed, "saved": saved(summed)}
    _tell(report)
    return report


def _run(
    site: Site, feed: Feed, clip: Path, motion: float | None, *, seconds: float
) -> dict[str, Any]:
    """Frames a second that were analysed, shares of a core, and what the ledger says."""
    cameras = [site.add_camera(f"Gate {i}", clip, FPS, motion) for i in range(CAMERAS)]
    feed.await_cameras(cameras, within=60)
    time.sleep(_LEARN_SECONDS)
    before, known = site.usage(), len(feed.seen)
    time.sleep(seconds)
    after, new = site.usage(), len(feed.seen) - known
    for camera_id in cameras:
        site.remove_camera(camera_id)
    closed = site.eventually(lambda: _is_closed(site, cameras), within=30)
    share = cpu_share(before, after)
    del share["bench"]
    return {
        "analysed_fps": round(new / (after.at - before.at), 2),
        "cpu_share": share,
        "ledger": site.book(cameras),
        "closed": closed,
    }


def _is_closed(site: Site, cameras: list[str]) -> bool:
    """Whether the ledger knows the end of every frame that these cameras captured."""
    told = site.book(cameras)
    return 2 * told.get("captured", 0) == sum(told.values())


def rows(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of one kind together: the mean of their figures."""
    found = []
    for scene in _SCENES:
        for gate in (False, True):
            same = [run for run in runs if (run["scene"], run["gate"]) == (scene, gate)]
            share = {
                name: round(sum(run["cpu_share"][name] for run in same) / len(same), 3)
                for name in same[0]["cpu_share"]
            }
            found.append(
                {
                    "scene": scene,
                    "gate": gate,
                    "analysed_fps": round(sum(r["analysed_fps"] for r in same) / len(same), 2),
                    "cpu_share": share,
                    "services": round(sum(share[name] for name in SERVICES), 3),
                    "all": round(sum(share.values()), 3),
                }
            )
    return found


def saved(found: list[dict[str, Any]]) -> dict[str, float]:
    """By scene, the share of the services' processor time that the gate saves."""
    shares = {(row["scene"], row["gate"]): row["services"] for row in found}
    return {scene: round(1.0 - shares[scene, True] / shares[scene, False], 3) for scene in _SCENES}


def _tell(report: Mapping[str, Any]) -> None:
    head = ("scene", "gate", "analysed/s", *SERVICES, "services", "all")
    say(f"\nshares of a core, {CAMERAS} cameras of 640 x 360 sampled at {FPS:g} frames/s\n")
    say(
        table(
            head,
            [
                (
                    row["scene"],
                    "on" if row["gate"] else "off",
                    row["analysed_fps"],
                    *(row["cpu_share"][name] for name in SERVICES),
                    row["services"],
                    row["all"],
                )
                for row in report["rows"]
            ],
        )
    )
    say(f"\nsaved of the services' processor time: {report['saved']}")
    for run in report["runs"]:
        book = "" if run["closed"] else ", NOT closed after 30 s"
        say(f"{run['scene']}, gate {'on' if run['gate'] else 'off'}: {run['ledger']}{book}")
