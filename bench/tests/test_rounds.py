import pytest

from bench.inference import goals, row
from bench.rounds import Turns, middle, take_turns
from bench.subjects import Subject


class SteppingClock:
    """A clock that every work moves by what it takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_everybody_has_a_turn_in_every_round_in_changing_order() -> None:
    clock, order = SteppingClock(), []

    def work(name: str, seconds: float) -> None:
        order.append(name)
        clock.work(seconds)

    turns = take_turns(
        {"slow": lambda: work("slow", 2.0), "fast": lambda: work("fast", 0.5)},
        rounds=2,
        seconds=1.0,
        clock=clock,
        processor=lambda: clock.now / 2,
    )

    assert turns.processor == {"slow": [1.0, 1.0], "fast": [0.25, 0.25]}
    assert turns.wall == {"slow": [2.0, 2.0], "fast": [0.5, 0.5]}
    assert order == ["slow", "fast", "slow", "fast", "fast", "fast", "fast", "slow"]


def test_the_middle_of_the_rounds_is_their_median() -> None:
    assert middle({"one": [3.0, 1.0, 100.0]}) == {"one": 3.0}


def a_subject(*holds: str) -> Subject:
    return Subject("model", "engine", lambda batch: {}, holds)


def test_decoding_and_aligning_stay_out_of_the_ratio() -> None:
    times = {
        "stage": [0.10, 0.20, 0.10],
        "bare": [0.063, 0.126, 0.063],
        "decode": [0.01, 0.02, 0.01],
        "decode and align": [0.03, 0.06, 0.03],
    }

    found = row(a_subject("decode and align"), 7, Turns(times, times))

    assert found["items_per_s"] == pytest.approx(100.0)
    assert found["bare_items_per_s"] == pytest.approx(111.11)
    assert found["ratio"] == pytest.approx(0.9)
    assert found["whole_items_per_s"] == pytest.approx(70.0)
    assert found["decode_ms"] == pytest.approx(1.429)
    assert found["align_ms"] == pytest.approx(2.857)


def test_a_noisy_round_does_not_move_the_ratio() -> None:
    times = {"stage": [0.1, 0.9, 0.1], "bare": [0.1, 0.9, 0.1], "decode": [0.01] * 3}

    found = row(a_subject(), 1, Turns(times, {name: [0.2] * 3 for name in times}))

    assert (found["ratio"], found["processor_ratio"], found["align_ms"]) == (1.0, 1.0, None)


@pytest.mark.parametrize(
    ("extensions", "ratio", "holds"),
    [(["amx_bf16"], 4.0, False), (["amx_bf16"], 5.0, True), (["avx2"], 2.0, True)],
)
def test_what_is_asked_beside_insightface_depends_on_the_processor(
    extensions: list[str], ratio: float, holds: bool
) -> None:
    report = {
        "device": "CPU",
        "machine": {"extensions": extensions},
        "rows": [],
        "vs_insightface": ratio,
    }

    assert list(goals(report).values()) == [holds]


def test_one_slow_row_misses_the_goal() -> None:
    rows = [{"ratio": 0.95}, {"ratio": 0.85}]

    report = {"device": "CPU", "machine": {"extensions": []}, "rows": rows}

    found = goals(report | {"vs_insightface": None})

    assert found == {"stage >= 0.9 of the bare engine": False}
