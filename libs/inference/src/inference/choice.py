"""Which engine runs a model: the fastest on this machine whose outputs are right."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.engine import Engine, EngineInfo, Tensor
from inference.measuring import Refusal, Trial, measure
from mesh.clock import Clock
from mesh.errors import ConfigurationError

AUTO = "auto"


class NoEngineError(ConfigurationError):
    """No engine can run a model on a device now; the machine may have to be put in order."""


LEAD = 0.95
"""Another engine than the first must take at most this share of its time, so that equals do not
change places from start to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """The choice for one model, and why."""

    model_id: str
    wanted: str
    """The setting: auto, or an engine's name."""
    chosen: EngineInfo
    reason: str
    trials: tuple[Trial, ...] = ()
    """The first is the reference; empty where the setting left no choice."""
    refused: tuple[Refusal, ...] = ()

    def fields(self) -> dict[str, Any]:
        """For a log line: plain numbers and texts, times in milliseconds."""
        return {
            "model_id": self.model_id,
            "wanted": self.wanted,
            **asdict(self.chosen),
            "reason": self.reason,
            "trials": [
                {
                    **asdict(trial.info),
                    "run_ms": round(1000 * trial.seconds, 3),
                    "deviation": round(trial.deviation, 5),
                    "agrees": trial.agrees,
                }
                for trial in self.trials
            ],
            "refused": {refusal.engine: refusal.reason for refusal in self.refused},
        }


def decide(trials: Sequence[Trial]) -> tuple[int, str]:
    """The trial to keep, and the reason for people.

    Args:
        trials: the reference first; at least one of them is eligible.

    Raises:
        ValueError: none may be chosen.
    """
    fit = [index for index, trial in enumerate(trials) if trial.eligible and trial.agrees]
    if not fit:
        raise ValueError("no engine agrees with the reference")
    best = min(fit, key=lambda index: trials[index].seconds)
    first = fit[0]
    if trials[best].seconds > LEAD * trials[first].seconds:
        best = first
    others = [
        f"{trial.info} takes {1000 * trial.seconds:.2f} ms"
        + ("" if trial.agrees else f" and deviates by {trial.deviation:.3f}")
        + ("" if trial.eligible else ", for reference only")
        for index, trial in enumerate(trials)
        if index != best
    ]
    chosen = trials[best]
    return best, "; ".join([f"{chosen.info} takes {1000 * chosen.seconds:.2f} ms", *others])


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An engine that may be tried."""

    name: str
    """onnxruntime, openvino or torch."""
    open: Callable[[], Engine]
    """Raises ConfigurationError where it cannot be had."""
    eligible: bool = True
    """Whether it may be chosen; else it is only the reference."""


def trials(
    candidates: Sequence[Candidate], sample: Tensor, *, clock: Clock
) -> tuple[list[Trial], list[Refusal]]:
    """Open, measure and close them all.

    Args:
        candidates: the reference first.
        sample: one item as the model will see it.
        clock: takes the time.

    Returns:
        A trial per engine that worked, in order, and why the others did not.
    """
    opened, refused = _open(candidates)
    engines = [engine for _, engine in opened]
    eligible = [candidate.eligible for candidate, _ in opened]
    done, failed = measure(engines, sample, eligible=eligible, clock=clock)
    for engine in engines:
        engine.close()
    return done, [*refused, *failed]


def take(
    model_id: str,
    candidates: Sequence[Candidate],
    done: Sequence[Trial],
    refused: Sequence[Refusal],
) -> tuple[Engine, EngineReport]:
    """Open the best of the engines that were tried elsewhere, or else the next best.

    Raises:
        NoEngineError: none that agrees with the reference opens here.
    """
    left, refused = list(done), list(refused)
    while True:
        report = _report(model_id, left, refused, wanted=AUTO)
        name = report.chosen.engine
        best = next(each for each in candidates if each.eligible and each.name == name)
        try:
            return best.open(), report
        except ConfigurationError as error:
            left = [trial for trial in left if trial.info is not report.chosen]
            refused.append(Refusal(engine=name, reason=str(error)))


def _report(
    model_id: str, done: Sequence[Trial], refused: Sequence[Refusal], *, wanted: str
) -> EngineReport:
    try:
        kept, reason = decide(done)
    except ValueError as error:
        why = "; ".join(f"{refusal.engine}: {refusal.reason}" for refusal in refused)
        raise NoEngineError(f"model {model_id}: {error} {why}".rstrip()) from error
    return EngineReport(
        model_id=model_id,
        wanted=wanted,
        chosen=done[kept].info,
        reason=reason,
        trials=tuple(done),
        refused=tuple(refused),
    )


def choose(
    model_id: str,
    candidates: Sequence[Candidate],
    sample: Tensor,
    *,
    clock: Clock,
    wanted: str = AUTO,
) -> tuple[Engine, EngineReport]:
    """Open, measure and keep the fastest engine that agrees; the others are closed again.

    Args:
        model_id: for the report.
        candidates: the reference first.
        sample: one item as the model will see it.
        clock: takes the time.
        wanted: auto, or the name of the engine to take unmeasured.

    Raises:
        NoEngineError: no engine, or not the wanted one, can run the model.
        ConfigurationError: the wanted engine is none of the model's for the device.
    """
    allowed = [item for item in candidates if wanted in {AUTO, item.name}]
    if wanted != AUTO:
        allowed = [item for item in allowed if item.eligible]
        if not allowed:
            raise ConfigurationError(f"model {model_id}: no engine {wanted} is for it there")
    opened, refused = _open(allowed)
    if not any(item.eligible for item, _ in opened):
        reasons = "; ".join(f"{refusal.engine}: {refusal.reason}" for refusal in refused)
        raise NoEngineError(f"model {model_id}: no engine {wanted} can run it: {reasons}")
    if len(opened) == 1:
        engine = opened[0][1]
        reason = "the setting" if wanted != AUTO else "the only one that can run it"
        report = EngineReport(
            model_id=model_id,
            wanted=wanted,
            chosen=engine.info,
            reason=reason,
            refused=tuple(refused),
        )
        return engine, report
    return _fastest(model_id, opened, refused, sample, clock=clock, wanted=wanted)


def _open(
    candidates: Sequence[Candidate],
) -> tuple[list[tuple[Candidate, Engine]], list[Refusal]]:
    opened, refused = [], []
    for candidate in candidates:
        try:
            opened.append((candidate, candidate.open()))
        except ConfigurationError as error:
            refused.append(Refusal(engine=candidate.name, reason=str(error)))
    return opened, refused


def _fastest(
    model_id: str,
    opened: Sequence[tuple[Candidate, Engine]],
    refused: Sequence[Refusal],
    sample: Tensor,
    *,
    clock: Clock,
    wanted: str,
) -> tuple[Engine, EngineReport]:
    engines = [engine for _, engine in opened]
    eligible = [candidate.eligible for candidate, _ in opened]
    done, failed = measure(engines, sample, eligible=eligible, clock=clock)
    try:
        report = _report(model_id, done, [*refused, *failed], wanted=wanted)
    except NoEngineError:
        for engine in engines:
            engine.close()
        raise
    chosen = next(engine for engine in engines if engine.info is report.chosen)
    for engine in engines:
        if engine is not chosen:
            engine.close()
    return chosen, report
