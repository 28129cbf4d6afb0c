from typing import Any

import pytest

from bench.whole import goals

SERVICES = ("camera", "detection", "recognition", "aggregator", "writer", "keeper", "gateway")


def a_run(**changes: Any) -> dict[str, Any]:
    return {"frames": 400, "arrived": 400, "processed": 400, **changes}


def a_soak(mb_per_hour: float = 0.0) -> dict[str, Any]:
    flat = {"first_mb": 100.0, "last_mb": 100.0, "most_mb": 100.0, "mb_per_hour": 0.0}
    return dict.fromkeys(SERVICES, flat) | {"writer": flat | {"mb_per_hour": mb_per_hour}}


def a_report(**changes: Any) -> dict[str, Any]:
    return {
        "latency_ms": {"p95": 120.0},
        "ratio": 1.1,
        "mesh_runs": [a_run(), a_run()],
        "by_cameras": {4: a_run(), 8: a_run()},
        "rss_mb": dict.fromkeys(SERVICES, 100.0),
        **changes,
    }


def missed(report: dict[str, Any]) -> list[str]:
    return [goal for goal, holds in goals(report).items() if not holds]


def test_a_mesh_that_does_everything_holds_every_goal() -> None:
    assert not missed(a_report(soak_minutes=30.0, soak=a_soak()))


@pytest.mark.parametrize("run", [a_run(processed=0), a_run(arrived=399, processed=399)])
def test_frames_that_failed_or_never_came_miss_a_goal_however_fast_they_were(
    run: dict[str, Any],
) -> None:
    assert missed(a_report(mesh_runs=[a_run(), run])) == ["every frame processed at saturation"]
    assert missed(a_report(by_cameras={4: run})) == ["every frame processed at saturation"]


def test_a_service_that_grows_in_a_soak_misses_a_goal() -> None:
    assert missed(a_report(soak_minutes=30.0, soak=a_soak(27.0))) == ["no growth"]


def test_a_soak_too_short_to_tell_is_not_judged() -> None:
    assert "no growth" not in goals(a_report())
    assert "no growth" not in goals(a_report(soak_minutes=2.0, soak=a_soak(27.0)))


def test_memory_counts_at_its_highest() -> None:
    soak = a_soak()
    soak["gateway"] = soak["gateway"] | {"most_mb": 150.1}
    assert missed(a_report(soak_minutes=2.0, soak=soak)) == ["aggregator and results < 150 MB"]
