"""Which devices suit models: those that they have engines for.

Apart from the engines, which the processes that try them import without models and logs: these
would take more than half of such a process's time.
"""

from collections.abc import Sequence

from inference.candidates import ENGINES, offers
from mesh.logs import get_logger
from mesh.models import ModelSpec


def devices_for(devices: Sequence[str], *models: ModelSpec) -> list[str]:
    """Those of the devices that every model has an engine for; the log tells what is left out.

    Args:
        devices: the chosen one first, the CPU last, where every model runs.
        models: that run together.
    """
    kept = []
    for device in devices:
        stuck = [model for model in models if not _runs(model, device)]
        if not stuck:
            kept.append(device)
        for model in stuck:
            get_logger("inference").warning(
                "device_left_out",
                model_id=model.model_id,
                device=device,
                reason=f"no engine of the model is for it: {', '.join(model.engines)}",
            )
    return kept


def _runs(model: ModelSpec, device: str) -> bool:
    return device == "CPU" or any(
        name in ENGINES and offers(name, device) for name in model.engines
    )
