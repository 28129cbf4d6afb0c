"""Where each batch is computed: the decision matrix, followed from batch to batch."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from inference.cards import GpuLoad
from inference.devices import UNASSIGNED, Choice, Work, card_of, choose_device, is_gpu
from mesh.events import Priority
from mesh.logs import get_logger

_CPU = "CPU"


class Placing:
    """Sends each batch of a stage to the GPU that serves, or past it to the CPU.

    Batches are placed by one thread; `preferred` may be asked by any.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        by_matrix: bool = True,
        cameras: Collection[str] = (),
        load: Callable[[str], float | None] | None = None,
    ) -> None:
        """Take what decides, and where decisions are counted.

        Args:
            registry: of the process.
            by_matrix: follow the matrix; else a GPU that serves gets every batch.
            cameras: that GPUs are for; all if there is none.
            load: of a GPU, 0 to 1, or none where nobody tells it: such a GPU is never saturated.
        """
        self.registry = registry
        self._by_matrix = by_matrix
        self._cameras = frozenset(cameras)
        self._load = load or GpuLoad()
        self._saturated = False
        self._hand = threading.local()
        self._log = get_logger("inference")
        self._batches = Counter(
            "sightline_device_batches_total",
            "Batches by the device that was chosen for them, and why.",
            ["device", "reason"],
            registry=registry,
        )

    def preferred(self) -> str | None:
        """Which device is to compute what this thread has in hand; none: the first of a chain."""
        device: str | None = getattr(self._hand, "device", None)
        return device

    def assigned(self, cameras: Iterable[str | None]) -> bool:
        """Whether a GPU is for one of these cameras."""
        return not self._cameras or not self._cameras.isdisjoint(cameras)

    @contextmanager
    def placed(self, work: Work, serving: str) -> Iterator[str]:
        """While a batch is worked on: the device that was chosen for it.

        Args:
            work: the batch.
            serving: device that would serve now; a GPU that failed does not.
        """
        choice = self._choose(work, serving)
        past = is_gpu(serving) and not choice.gpu
        device = _CPU if past else serving
        self._batches.labels(device, choice.reason).inc()
        self._log.debug("device_chosen", device=device, reason=choice.reason, items=work.batch)
        self._hand.device = _CPU if past else None
        try:
            yield device
        finally:
            self._hand.device = None

    def _choose(self, work: Work, serving: str) -> Choice:
        if not is_gpu(serving):
            return choose_device(None, work)
        if not self._by_matrix:
            return _by_setting(work)
        load = self._load(card_of(serving)) or 0.0
        choice = choose_device(load, work, saturated=self._saturated)
        if choice.saturated is not self._saturated:
            self._saturated = choice.saturated
            event = "gpu_saturated" if choice.saturated else "gpu_calm"
            self._log.warning(event, device=serving, utilisation=load)
        return choice


def _by_setting(work: Work) -> Choice:
    """Every batch is the GPU's but those of cameras that it is not for, unless they are urgent."""
    gpu = work.assigned or work.priority is Priority.URGENT
    return Choice(gpu=gpu, saturated=False, reason="setting" if gpu else UNASSIGNED)
