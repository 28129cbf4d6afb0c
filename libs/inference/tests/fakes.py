"""A device that is none, and threads that are none."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from inference.engine import Engine, EngineError, EngineInfo, Outputs, Tensor
from inference.onnx_engine import OnnxEngine
from inference.threads import HangingError
from mesh.errors import ConfigurationError

T = TypeVar("T")


class FakeGpu:
    """What a GPU does, computed on the CPU; notes its batches and fails as it is told."""

    def __init__(self, path: Path) -> None:
        self._engine: Engine = OnnxEngine(path)
        self.info = EngineInfo(engine="onnxruntime", device="GPU-0", precision="f32")
        self.items: list[int] = []
        self.broken = False

    def run(self, batch: Tensor) -> Outputs:
        if self.broken:
            raise EngineError("CUDA error: an illegal memory access was encountered")
        self.items.append(len(batch))
        return self._engine.run(batch)

    def close(self) -> None:
        self._engine.close()


class HangError(Exception):
    """Stands for a call that never returns."""


class FakeThreads:
    """Does the work at once; what raises `HangError` hangs."""

    def __init__(self) -> None:
        self.abandoned = 0
        self.slow = False
        self.timeouts: list[float] = []

    def run(self, work: Callable[[], T], timeout: float) -> T:
        self.timeouts.append(timeout)
        try:
            return work()
        except HangError:
            self.abandoned += 1
            raise HangingError(f"no answer within {timeout:g} s") from None

    def start(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        if not self.slow:
            try:
                future.set_result(work())
            except ConfigurationError as error:
                future.set_exception(error)
        return future
