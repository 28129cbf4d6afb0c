"""From a model of the registry to the engine that runs it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inference.candidates import candidates
from inference.choice import AUTO, EngineReport, choose, take
from inference.devices import UNMEASURED, kind_of
from inference.engine import Engine, EngineOptions, Tensor
from inference.trials import TIMEOUT_SECONDS, Attempt, tried_apart
from mesh.clock import Clock, SystemClock
from mesh.logs import get_logger
from mesh.models import ModelSpec


def open_engine(
    model: ModelSpec,
    files: Mapping[str, Path],
    sample: Tensor,
    *,
    options: EngineOptions,
    wanted: str = AUTO,
    apart: bool = False,
    patience: float = TIMEOUT_SECONDS,
    clock: Clock | None = None,
) -> tuple[Engine, EngineReport]:
    """The engine that a model is run by on a device; measured where there is a choice.

    Args:
        model: from the registry.
        files: its verified files by name.
        sample: one item as the model will see it, shape (1, …).
        options: device, precision, threads, streams.
        wanted: auto, or the name of an engine.
        apart: whether engines are tried in a process of their own, see `inference.trials`.
        patience: with such a process, seconds.
        clock: takes the time; the machine's by default.

    Raises:
        NoEngineError: no engine, or not the wanted one, can run the model there.
        ConfigurationError: the wanted engine is none of the model's for the device.
    """
    found = candidates(model.engines, files, options, sides=sample.shape[1:])
    if apart and wanted == AUTO and len(found) > 1:
        once = replace(options, max_batch=1)  # the sample is one item: no other size is prepared
        attempt = Attempt(engines=model.engines, files=files, options=once, sample=sample)
        engine, report = take(model.model_id, found, *tried_apart(attempt, timeout=patience))
    else:
        engine, report = choose(
            model.model_id, found, sample, clock=clock or SystemClock(), wanted=wanted
        )
    tell(report)
    return engine, report


def tell(report: EngineReport) -> None:
    """Log what was chosen, and a warning if nobody ever measured its device."""
    log, device = get_logger("inference"), report.chosen.device
    log.info("engine_chosen", **report.fields())
    if kind_of(device) in UNMEASURED:
        log.warning("device_unmeasured", model_id=report.model_id, device=device)
