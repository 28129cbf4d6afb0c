import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Never

import pytest

from inference.cards import GpuLoad, Memory, gpu_memory
from mesh.clock import ManualClock

CARD = Memory(device="GPU-0", name="Card", total_mb=1000, available_mb=400, utilisation=0.25)


def _only(name: str, library: Any) -> Callable[[str], Any]:
    return {name: library}.get


def test_without_a_library_there_is_no_gpu() -> None:
    assert gpu_memory(_only("nothing", None)) == ()
    assert "torch" in sys.modules or gpu_memory() == ()


def _one_card(rates: Callable[[int], Any]) -> SimpleNamespace:
    """NVIDIA's library on a machine with one card."""
    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=1000 << 20, free=400 << 20),
        nvmlDeviceGetName=lambda _: "Card",
        nvmlDeviceGetUtilizationRates=rates,
    )


def test_nvidias_library_tells_of_its_cards() -> None:
    nvml = _one_card(lambda _: SimpleNamespace(gpu=25))
    assert gpu_memory(_only("pynvml", nvml)) == [CARD]


def test_a_card_may_not_tell_how_busy_it_is() -> None:
    def refuse(_: int) -> None:
        raise RuntimeError("not supported")

    (card,) = gpu_memory(_only("pynvml", _one_card(refuse)))
    assert card == replace(CARD, utilisation=None)


def test_without_a_driver_there_is_no_gpu() -> None:
    def refuse() -> None:
        raise RuntimeError("no driver")

    nvml = SimpleNamespace(NVMLError=RuntimeError, nvmlInit=refuse)
    assert gpu_memory(_only("pynvml", nvml)) == ()


class LostError(Exception):
    """NVIDIA's library says that the GPU is lost."""


def _lost(*_: object) -> Never:
    raise LostError("GPU is lost")


@pytest.mark.parametrize(
    "call",
    [
        "nvmlDeviceGetCount",
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetName",
        "nvmlDeviceGetUtilizationRates",
    ],
)
def test_a_card_that_is_lost_is_left_out_and_its_load_unknown(call: str) -> None:
    nvml = _one_card(lambda _: SimpleNamespace(gpu=25))
    nvml.NVMLError = LostError
    setattr(nvml, call, _lost)
    found = gpu_memory(_only("pynvml", nvml))
    assert [card.utilisation for card in found] in ([], [None])
    assert GpuLoad(lambda: gpu_memory(_only("pynvml", nvml)))("GPU-0") is None


def test_the_other_cards_are_told_of_when_one_is_lost() -> None:
    nvml = _one_card(lambda _: SimpleNamespace(gpu=25))
    nvml.nvmlDeviceGetCount = lambda: 2
    nvml.NVMLError = LostError
    nvml.nvmlDeviceGetHandleByIndex = lambda number: number or _lost()
    assert [card.device for card in gpu_memory(_only("pynvml", nvml))] == ["GPU-1"]


def test_torch_leaves_out_a_card_that_is_lost() -> None:
    def lost(_: int) -> Never:
        raise RuntimeError("CUDA error: the device is lost")

    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1, mem_get_info=lost)
    assert gpu_memory(_only("torch", SimpleNamespace(cuda=cuda))) == ()


@pytest.mark.parametrize("available", [True, False])
def test_torch_tells_of_the_cards_that_it_can_use(available: bool) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: available,
        device_count=lambda: 1,
        mem_get_info=lambda _: (400 << 20, 1000 << 20),
        get_device_name=lambda _: "Card",
    )
    found = gpu_memory(_only("torch", SimpleNamespace(cuda=cuda)))
    assert [one.available_mb for one in found] == ([400] if available else [])


def test_the_load_of_a_card_is_asked_once_a_second() -> None:
    asked: list[float] = []
    clock = ManualClock()

    def cards() -> list[Memory]:
        asked.append(clock.monotonic())
        return [CARD]

    load = GpuLoad(cards, clock)
    assert (load("GPU-0"), load("GPU-1"), len(asked)) == (0.25, None, 1)
    clock.advance(1.0)
    assert (load("GPU-0"), len(asked)) == (0.25, 2)
