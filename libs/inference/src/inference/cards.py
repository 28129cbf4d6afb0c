"""The GPUs of the machine: what they are called, their memory, and how busy they are."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mesh.clock import Clock, SystemClock

_MIB = 1 << 20
_FRESH_SECONDS = 1.0
"""The library averages over about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of one GPU."""

    device: str
    """GPU-0, …"""
    name: str
    """Of the product."""
    total_mb: int
    available_mb: int
    utilisation: float | None = None
    """Share of the time that it computed lately, 0 to 1; none where nobody tells it."""


def gpu_memory(find: Callable[[str], Any] | None = None) -> Sequence[Memory]:
    """The GPUs that NVIDIA's library (`nvidia-ml-py`) or torch tells of; none without either.

    Only the library tells how busy a card is. It numbers the cards of the machine or container
    by their place on the bus and knows nothing of `CUDA_VISIBLE_DEVICES`. A card that is lost is
    left out.

    Args:
        find: gives a module by name, or none.
    """
    find = find or _module
    for name, read in (("pynvml", _by_nvml), ("torch", _by_torch)):
        library = find(name)
        found = read(library) if library else ()
        if found:
            return found
    return ()


class GpuLoad:
    """How busy a GPU is, asked at most once a second; used from one thread."""

    def __init__(
        self, cards: Callable[[], Sequence[Memory]] = gpu_memory, clock: Clock | None = None
    ) -> None:
        self._cards = cards
        self._clock = clock or SystemClock()
        self._read_at: float | None = None
        self._busy: dict[str, float | None] = {}

    def __call__(self, device: str) -> float | None:
        """Share of the time that a GPU computed lately, 0 to 1; none where nobody tells it."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= _FRESH_SECONDS:
            self._read_at = now
            self._busy = {card.device: card.utilisation for card in self._cards()}
        return self._busy.get(device)


def _module(name: str) -> Any:
    """A module that is at hand; torch only where it runs models anyway, since it is large."""
    if name == "torch":
        return sys.modules.get(name)
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def _by_nvml(nvml: Any) -> Sequence[Memory]:
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return ()
    found = []
    for number in range(count):
        with suppress(nvml.NVMLError):  # a card that is lost has nothing to tell
            found.append(_card(nvml, number))
    return found


def _card(nvml: Any, number: int) -> Memory:
    handle = nvml.nvmlDeviceGetHandleByIndex(number)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Memory(
        device=f"GPU-{number}",
        name=str(nvml.nvmlDeviceGetName(handle)),
        total_mb=memory.total // _MIB,
        available_mb=memory.free // _MIB,
        utilisation=_busy(nvml, handle),
    )


def _busy(nvml: Any, handle: Any) -> float | None:
    """Share of the time, 0 to 1; a card that is cut into instances (MIG) tells none."""
    try:
        percent: float = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    except nvml.NVMLError:
        return None
    return percent / 100.0


def _by_torch(torch: Any) -> Sequence[Memory]:
    if not torch.cuda.is_available():
        return ()
    found = []
    for number in range(torch.cuda.device_count()):
        with suppress(RuntimeError):  # as above
            free, total = torch.cuda.mem_get_info(number)
            found.append(
                Memory(
                    device=f"GPU-{number}",
                    name=str(torch.cuda.get_device_name(number)),
                    total_mb=total // _MIB,
                    available_mb=free // _MIB,
                )
            )
    return found
