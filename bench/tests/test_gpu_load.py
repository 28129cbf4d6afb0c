"""How busy a GPU is told to be."""

from collections.abc import Sequence

from bench.gpu_load import utilisation
from inference.cards import Memory


class Card:
    """A GPU that is busy by a tenth for each call of the work."""

    def __init__(self) -> None:
        self.calls = 0

    def work(self) -> None:
        self.calls += 1

    def cards(self) -> Sequence[Memory]:
        return [
            Memory(
                device="GPU-1",
                name="a card",
                total_mb=1,
                available_mb=1,
                utilisation=self.calls / 10,
            )
        ]

    def clock(self) -> float:
        return self.calls * 0.5


def test_the_card_is_read_after_the_work_has_kept_it_busy_for_a_while() -> None:
    card = Card()
    for device in ("GPU-1", "TENSORRT-1"):
        card.calls = 0
        assert utilisation(device, card.work, cards=card.cards, clock=card.clock) == 0.3


def test_without_the_card_nothing_is_run_and_nothing_said() -> None:
    card = Card()
    for device in ("CPU", "GPU-0"):
        assert utilisation(device, card.work, cards=card.cards, clock=card.clock) is None
    assert card.calls == 0
