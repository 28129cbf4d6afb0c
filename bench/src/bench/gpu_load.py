"""How busy a GPU is while something runs on it."""

import time
from collections.abc import Callable, Sequence

from bench.rounds import Clock, Work
from inference.cards import Memory, gpu_memory
from inference.devices import card_of

_SECONDS = 1.5
"""The library averages over a second at most."""


def utilisation(
    device: str,
    work: Work,
    *,
    cards: Callable[[], Sequence[Memory]] = gpu_memory,
    clock: Clock = time.perf_counter,
) -> float | None:
    """Share of its time that a GPU computes while work repeats; none where nobody tells it.

    Args:
        device: CPU, GPU-0, …
        work: that runs on it; it is run once at least unless there is no such GPU.
        cards: tells what GPUs there are.
        clock: of the wall.
    """
    if not any(card.device == card_of(device) for card in cards()):
        return None
    began = clock()
    work()
    while clock() - began < _SECONDS:
        work()
    return next((card.utilisation for card in cards() if card.device == card_of(device)), None)
