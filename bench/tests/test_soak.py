import pytest

from bench.soak import judged, watch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_memory_is_read_until_the_time_is_over() -> None:
    clock = Clock()
    points = watch(30, lambda: 50.0, clock=lambda: clock.now, sleep=clock.sleep)
    assert len(points) == 60
    assert points[0] == (0, 50)
    assert points[-1][0] == pytest.approx(29.5)


def test_growth_is_judged_once_it_is_warm() -> None:
    warming = [(float(minute), 200.0 + 10 * min(minute, 10)) for minute in range(30)]
    assert judged(warming) == {
        "first_mb": 200.0,
        "warm_mb": 300.0,
        "last_mb": 300.0,
        "most_mb": 300.0,
        "mb_per_hour": 0.0,
        "grows": False,
    }
    leaking = [(float(minute), 200.0 + minute) for minute in range(30)]
    assert judged(leaking)["mb_per_hour"] == pytest.approx(60)
    assert judged(leaking)["grows"]
