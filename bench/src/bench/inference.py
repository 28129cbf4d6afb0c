"""How near the stages come to the engines that they drive.

Per model, engine and batch: pictures or faces per second of the product's adapter, and of the
engine by itself on tensors that are ready. Both take turns in one process. Decoding of pictures,
and for faces aligning, have columns of their own and stay out of the ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import beside_insightface, jpeg_to_chips
from bench.contenders import DETECTOR, a_detector
from bench.figures import say, table
from bench.gpu_load import utilisation
from bench.loading import Loading
from bench.machine import has_amx, in_words, machine
from bench.material import Material, model_registry
from bench.rounds import Times, Turns, middle, take_turns
from bench.soak import soak
from bench.subjects import Subject, gather, subjects
from mesh.errors import ConfigurationError
from mesh.models import ModelStore

_NEAR = 0.9
_FASTER_WITH_AMX, _FASTER = 5.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much."""

    batches: Sequence[int] = (1, 4, 8, 16, 32)
    rounds: int = 5
    seconds: float = 0.3
    """That a turn lasts at least."""
    models: tuple[str, ...] = ()
    """By model_id; all at hand where none is named."""
    threads: int = 1
    """Of an engine."""
    device: str = "CPU"
    """That stages and engines run on: CPU, GPU-0, …"""
    insightface: bool = True
    """Compare with stock InsightFace too."""
    soak_minutes: float = 0.0
    """Of saturation at the end."""


def measure(store: ModelStore, where: Material, options: Options) -> dict[str, Any]:
    """Measure every model at hand on every engine that can run it."""
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    loading = Loading(store=store, threads=options.threads, device=options.device)
    supply, models = gather(store, where), model_registry().models.values()
    for subject in subjects(loading, supply, skipped, models=models, only=options.models):
        for batch in options.batches:
            works = subject.works(batch)
            turns = take_turns(works, rounds=options.rounds, seconds=options.seconds)
            busy = utilisation(subject.device, works["stage"])
            rows.append(row(subject, batch, turns) | {"gpu_utilisation": busy})
            say(_line(rows[-1]))
    if not rows:
        say(f"nothing was measured on {options.device}: the reasons are below")
    beside = _beside(store, where) if options.insightface else {"reason": "not asked for"}
    report = {
        "machine": machine(),
        "device": options.device,
        "threads": options.threads,
        "rows": rows,
        "skipped": skipped,
        "vs_insightface": beside.get("ratio"),
        "insightface": beside,
    }
    if options.soak_minutes:
        report["soak"] = soak(store, where, options.soak_minutes)
    report["jpeg_to_chips"] = _jpeg_to_chips(loading, where, options)
    report["goals"] = goals(report)
    _tell(report)
    return report


def _jpeg_to_chips(loading: Loading, where: Material, options: Options) -> dict[str, Any]:
    """The whole stage by the default detector; on a GPU by torch, which keeps pictures there."""
    engine = "auto" if options.device == "CPU" else "torch"
    amount = jpeg_to_chips.Amount(options.batches, options.rounds, options.seconds)
    try:
        detector = loading.detector(model_registry().models[DETECTOR], engine)
        finder = a_detector(DETECTOR, loading.store)
        return jpeg_to_chips.measure(detector, jpeg_to_chips.crowded(where, finder), amount)
    except ConfigurationError as error:
        return {"reason": str(error)}


def row(subject: Subject, batch: int, turns: Turns) -> dict[str, Any]:
    """A line of the report.

    Args:
        subject: what was measured.
        batch: items of a call.
        turns: of `stage`, `bare`, where the host does it `decode`, for faces `decode and align`;
            what `subject.holds` names is taken out of the stage.
    """
    own = _own(turns.wall, subject.holds)
    calls = middle(turns.wall)
    return {
        "model": subject.model,
        "engine": subject.engine,
        "device": subject.device,
        "batch": batch,
        "items_per_s": round(batch / median(own), 2),
        "bare_items_per_s": round(batch / calls["bare"], 2),
        "ratio": _ratio(turns.wall["bare"], own),
        "processor_ratio": _ratio(turns.processor["bare"], _own(turns.processor, subject.holds)),
        "decode_ms": round(1000 * calls["decode"] / batch, 3) if "decode" in calls else None,
        "align_ms": _align_ms(calls, batch),
        "whole_items_per_s": round(batch / calls["stage"], 2),
        "whole": subject.whole,
    }


def _own(times: Times, holds: Sequence[str]) -> list[float]:
    """What the stage took in each round without the steps that are told apart."""
    return [
        stage - sum(times[step][number] for step in holds)
        for number, stage in enumerate(times["stage"])
    ]


def _ratio(bare: Sequence[float], own: Sequence[float]) -> float:
    """The median round, so that a noisy one moves nothing."""
    return round(median(one / other for one, other in zip(bare, own, strict=True)), 4)


def goals(report: Mapping[str, Any]) -> dict[str, bool]:
    """Which goals hold; that of the stages is about the CPU."""
    found = {}
    if report["rows"] and report["device"] == "CPU":
        found["stage >= 0.9 of the bare engine"] = all(
            one["ratio"] >= _NEAR for one in report["rows"]
        )
    whole = report.get("jpeg_to_chips", {}).get("rows")
    if whole and report["device"] != "CPU":
        best = max(one["frames_per_s"] for one in whole)
        found[f"JPEG to chips >= {jpeg_to_chips.GOAL:g} frames/s"] = best >= jpeg_to_chips.GOAL
    ratio = report["vs_insightface"]
    if ratio is not None:
        least = _FASTER_WITH_AMX if has_amx(report["machine"]) else _FASTER
        found[f">= {least:g} x stock InsightFace"] = ratio >= least
    if "soak" in report:
        found["no growth at saturation"] = not report["soak"]["grows"]
    return found


def _beside(store: ModelStore, where: Material) -> dict[str, Any]:
    try:
        return beside_insightface.measure(store, where)
    except ConfigurationError as error:
        return {"reason": str(error)}


def _align_ms(calls: Mapping[str, float], batch: int) -> float | None:
    if "decode and align" not in calls:
        return None
    return round(1000 * (calls["decode and align"] - calls["decode"]) / batch, 3)


def _line(one: Mapping[str, Any]) -> str:
    return (
        f"{one['model']} on {one['engine']}, batch {one['batch']}: {one['items_per_s']:.1f}/s, "
        f"bare {one['bare_items_per_s']:.1f}/s, ratio {one['ratio']:.2f}"
        + (f", from {one['whole']}" if one["whole"] else "")
    )


def _tell(report: Mapping[str, Any]) -> None:
    say(
        f"\n{in_words(report['machine'])}; {report['threads']} thread(s) an engine, "
        f"device {report['device']}\n"
    )
    head = (
        "model",
        "engine",
        "batch",
        "items/s",
        "bare",
        "ratio",
        "of CPU",
        "decode ms",
        "align ms",
        "GPU busy",
    )
    keys = (
        "model",
        "engine",
        "batch",
        "items_per_s",
        "bare_items_per_s",
        "ratio",
        "processor_ratio",
    )
    rows = [
        (
            *(one[key] for key in keys),
            *(
                "-" if one[key] is None else one[key]
                for key in ("decode_ms", "align_ms", "gpu_utilisation")
            ),
        )
        for one in report["rows"]
    ]
    say(table(head, rows))
    for name, reason in report["skipped"].items():
        say(f"{name}: {reason}")
    _tell_whole(report["jpeg_to_chips"])
    beside = report["insightface"]
    if report["vs_insightface"] is None:
        say(f"beside InsightFace: {beside['reason']}")
    else:
        say(
            f"beside InsightFace: {beside['ours_fps']:.1f} / {beside['stock_fps']:.1f} frames/s "
            f"= {beside['ratio']:.2f}"
        )
    if "soak" in report:
        say(f"soak: {report['soak']}")
    for goal, holds in report["goals"].items():
        say(f"{'holds ' if holds else 'MISSED'}  {goal}")


def _tell_whole(whole: Mapping[str, Any]) -> None:
    if "reason" in whole:
        say(f"JPEG to chips: {whole['reason']}")
        return
    for one in whole["rows"]:
        say(
            f"JPEG to chips (720p, {jpeg_to_chips.FACES} faces), {whole['model']} on "
            f"{whole['engine']}, pictures on {whole['pictures_on']}, batch {one['batch']}: "
            f"{one['frames_per_s']:.1f} frames/s, GPU busy {one['gpu_utilisation'] or '-'}"
        )
