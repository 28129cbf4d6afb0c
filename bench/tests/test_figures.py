from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import fair_shares, grown, jain, percentiles, slope, table
from bench.stages import shares, spans
from mesh.testing import NOON, a_frame_header, a_stage_time

rates = st.lists(st.floats(0.1, 100), min_size=1, max_size=20)


def test_percentiles_of_a_hundred_values_are_those_values() -> None:
    found = percentiles([float(value) for value in range(1, 102)])

    assert found == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0}
    assert percentiles([]) == {}


def test_fairness_is_one_for_equals_and_a_nth_for_a_monopoly() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([9.0, 0.0, 0.0]) == pytest.approx(1 / 3)
    assert jain([0.0, 0.0]) == 1.0


@given(rates, st.floats(0.1, 1000))
def test_fair_shares_give_nobody_more_than_asked_and_use_the_capacity(
    demands: list[float], capacity: float
) -> None:
    found = fair_shares(demands, capacity)

    assert all(share <= demand + 1e-9 for share, demand in zip(found, demands, strict=True))
    assert sum(found) == pytest.approx(min(sum(demands), capacity))


@given(rates, st.floats(0.1, 1000))
def test_who_gets_less_than_asked_gets_no_less_than_anybody(
    demands: list[float], capacity: float
) -> None:
    found = fair_shares(demands, capacity)

    cut = [share for share, demand in zip(found, demands, strict=True) if share < demand - 1e-6]
    assert all(share >= max(found) - 1e-6 for share in cut)


def test_growth_is_the_slope_of_the_points() -> None:
    assert slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2.0)
    assert slope([(0, 10)]) == 0.0


def test_a_frame_s_way_is_its_stages_and_the_hops_before_each() -> None:
    camera = a_stage_time("camera")
    later = NOON + timedelta(milliseconds=25)
    detection = a_stage_time(
        "detection", started_at=later, ended_at=later + timedelta(milliseconds=20)
    )

    found = spans(a_frame_header(), [camera, detection], NOON + timedelta(milliseconds=50))

    assert found == pytest.approx(
        {
            "received → camera": 0,
            "camera": 10,
            "camera → detection": 15,
            "detection": 20,
            "detection → client": 5,
        }
    )


def test_shares_of_the_way_add_up_to_one() -> None:
    found = shares([{"camera": 10.0, "detection": 30.0}, {"camera": 20.0, "detection": 40.0}])

    assert found["camera"]["mean"] == 15.0
    assert sum(part["share"] for part in found.values()) == pytest.approx(1.0)


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n|---|---|\n| 1 | x |"


def test_memory_that_is_given_back_once_a_minute_does_not_grow() -> None:
    saw = [(n / 4, 100.0 + 2.0 * (n % 4)) for n in range(120)]
    found = grown(saw)
    assert found == {
        "first_mb": 100.0,
        "warm_mb": 100.0,
        "last_mb": 106.0,
        "most_mb": 106.0,
        "mb_per_hour": 0.0,
    }
    assert slope(saw[60:]) > 0.0


def test_what_stays_in_use_grows_whatever_is_given_back() -> None:
    saw = [(n / 4, 100.0 + 2.0 * (n % 4) + 0.1 * (n // 4)) for n in range(120)]
    assert grown(saw)["mb_per_hour"] == pytest.approx(6.0)
