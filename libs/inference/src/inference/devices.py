"""GPU or CPU: the decision matrix of the specification, section 7.2, as a function of values."""

from dataclasses import dataclass

from mesh.events import Priority

BUSY = 0.9
"""Above this share of its time a GPU is saturated …"""
CALM = 0.7
"""… until it falls below this one."""
_LARGE = 4

_GPUS = frozenset({"GPU", "TENSORRT", "IGPU"})
UNASSIGNED = "unassigned"
"""The reason where a GPU is for other cameras."""
UNMEASURED = frozenset({"TENSORRT", "IGPU"})
"""Kinds of devices that can be chosen and were never measured."""


def kind_of(device: str) -> str:
    """The first word of a device's name: CPU, GPU, TENSORRT, IGPU or cloud."""
    return device.partition("-")[0]


def is_gpu(device: str) -> bool:
    """Whether it is a GPU of this machine, by whatever way."""
    return kind_of(device) in _GPUS


def card_of(device: str) -> str:
    """The card as its load is told: TENSORRT-1 is another way to GPU-1."""
    kind, dash, number = device.partition("-")
    return f"GPU{dash}{number}" if kind == "TENSORRT" else device


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be computed."""

    priority: Priority | None = None
    """The highest in the batch; none if nobody said."""
    batch: int
    """Pictures or faces, at least 1."""
    assigned: bool = True
    """Whether the GPU is for one of its cameras."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where to compute it, and why."""

    gpu: bool
    saturated: bool
    """Hand it to the next decision."""
    reason: str


def choose_device(utilisation: float | None, work: Work, *, saturated: bool = False) -> Choice:
    """Where to compute a batch.

    The rows of the matrix overlap; the first that applies decides: no GPU, urgent, cameras that
    the GPU is not for (specification, 6.4), saturated, low priority, a large batch, a single
    picture, else the GPU. Between 70 % and 90 % the decision before holds, so that work does not
    swing between the two.

    Args:
        utilisation: of the GPU, 0 to 1; none if there is no GPU, or it failed.
        work: what is to be computed.
        saturated: what the decision before said.

    Raises:
        ValueError: utilisation or batch is out of range.
    """
    if work.batch < 1 or not 0 <= (utilisation or 0) <= 1:
        raise ValueError("batch must be at least 1, utilisation 0 to 1")
    if utilisation is None:
        return Choice(gpu=False, saturated=False, reason="no_gpu")
    saturated = utilisation > BUSY or (saturated and utilisation >= CALM)
    gpu, reason = _decide(work, saturated=saturated)
    return Choice(gpu=gpu, saturated=saturated, reason=reason)


def _decide(work: Work, *, saturated: bool) -> tuple[bool, str]:
    rows = (
        (work.priority is Priority.URGENT, True, "urgent"),
        (not work.assigned, False, UNASSIGNED),
        (saturated, False, "saturated"),
        (work.priority is Priority.LOW, False, "low_priority"),
        (work.batch > _LARGE, True, "large_batch"),
        (work.batch == 1, False, "single"),
    )
    return next(((gpu, reason) for applies, gpu, reason in rows if applies), (True, "free"))
