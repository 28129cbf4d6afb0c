from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from inference.chain import Chain
from inference.chained import Chained
from inference.engine import EngineError
from inference.links import Link


@dataclass(frozen=True)
class Info:
    """What runs, and whether it stands in."""

    device: str
    fallback_used: bool = False


class Doubling:
    """Doubles numbers, or refuses those that it was told to."""

    def __init__(self, device: str, refused: int) -> None:
        self.info = Info(device)
        self.warm = 0
        self._refused = refused

    def warm_up(self) -> None:
        self.warm += 1

    def double(self, number: int) -> int:
        if number == self._refused:
            raise EngineError(f"{self.info.device} refuses {number}")
        return 2 * number


class Double(Chained[Doubling, Info]):
    """What the first link that answers says."""

    def double(self, number: int) -> int:
        return self._ask(lambda one: one.double(number))


@pytest.fixture
def tools() -> list[Doubling]:
    return [Doubling("GPU-0", refused=1), Doubling("CPU", refused=2)]


@pytest.fixture
def double(tools: list[Doubling]) -> Double:
    def given(tool: Doubling) -> Callable[[], Doubling]:
        return lambda: tool

    links = [
        Link(
            name=tool.info.device,
            device=tool.info.device,
            model_id="double",
            timeout=60.0,
            build=given(tool),
        )
        for tool in tools
    ]
    return Double(Chain(links, warm_up=Doubling.warm_up))


def test_it_is_what_answered_and_says_whether_it_stood_in(double: Double) -> None:
    assert double.info == double.serving() == Info("GPU-0")
    assert (double.double(3), double.info) == (6, Info("GPU-0"))
    assert (double.double(1), double.info) == (2, Info("CPU", fallback_used=True))
    assert (double.state(), double.serving()) == ("degraded", Info("GPU-0"))


def test_each_thread_is_told_who_answered_it(double: Double) -> None:
    double.double(1)
    with ThreadPoolExecutor(1) as other:
        before = other.submit(lambda: double.info).result()
        other.submit(double.double, 3).result()
        after = other.submit(lambda: double.info).result()
    assert before == after == Info("GPU-0")
    assert double.info.device == "CPU"


def test_every_link_is_warmed_up(double: Double, tools: list[Doubling]) -> None:
    double.warm_up()
    assert [tool.warm for tool in tools] == [1, 1]
