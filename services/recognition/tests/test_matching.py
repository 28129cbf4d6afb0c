from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.recognition.tests.arranging import POLICY

from recognition.domain.calibration import CALIBRATIONS, Calibration, calibration_of
from recognition.domain.matching import (
    Hit,
    MatchPolicy,
    Probe,
    Searched,
    decide,
    required_similarity,
)

SEARCHED = Searched("model", 7)


def a_probe(*similarities: float, **changes: object) -> Probe:
    """A fit face near to person 0, 1, …, in a gallery of ten."""
    hits = tuple(Hit(f"per_{number}", value) for number, value in enumerate(similarities))
    probe = Probe(fit=True, embedded=True, quality=0.9, hits=hits, gallery_size=10)
    return replace(probe, **changes)  # type: ignore[arg-type]  # any field


probes = st.lists(
    st.builds(
        lambda scores, persons, quality, fit, concentration: Probe(
            fit=fit,
            embedded=True,
            quality=quality,
            hits=tuple(
                Hit(person, score)
                for person, score in zip(persons, sorted(scores, reverse=True), strict=False)
            ),
            gallery_size=10,
            concentration=concentration,
        ),
        st.lists(st.floats(-1, 1), max_size=4),
        st.permutations(["per_a", "per_b", "per_c", "per_d"]),
        st.floats(0, 1),
        st.booleans(),
        st.floats(0, 1),
    ),
    max_size=6,
)


def at(threshold: float) -> MatchPolicy:
    flat = Calibration(((1, threshold), (2, threshold)), floor=threshold, margin=0.05)
    return replace(POLICY, calibration=flat)


@given(probes, st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_threshold_never_identifies_more(
    faces: list[Probe], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    few = {i for i, d in enumerate(decide(faces, SEARCHED, at(high))) if d.identified}
    many = {i for i, d in enumerate(decide(faces, SEARCHED, at(low))) if d.identified}
    assert few <= many


@given(probes)
def test_two_faces_of_a_frame_are_never_the_same_person(faces: list[Probe]) -> None:
    named = [d.person_id for d in decide(faces, SEARCHED, POLICY) if d.identified]
    assert len(named) == len(set(named))


@given(probes)
def test_whoever_is_identified_came_near_enough_with_a_margin(faces: list[Probe]) -> None:
    for decision in decide(faces, SEARCHED, POLICY):
        assert decision.identified == (decision.reason == "matched")
        assert (decision.person_id is not None) == decision.identified
        if decision.identified:
            assert decision.similarity is not None
            assert decision.similarity >= decision.threshold
            assert decision.margin is None or decision.margin >= decision.margin_limit


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (a_probe(0.9, 0.2), "matched"),
        (a_probe(0.9), "matched"),
        (a_probe(0.4), "below_threshold"),
        (a_probe(0.9, 0.88), "ambiguous"),
        (a_probe(0.9, fit=False), "low_quality"),
        (a_probe(0.9, quality=0.1), "low_quality"),
        (a_probe(embedded=False), "no_embedding"),
        (a_probe(gallery_size=0), "empty_gallery"),
    ],
)
def test_every_decision_names_its_reason(probe: Probe, reason: str) -> None:
    (decision,) = decide([probe], SEARCHED, POLICY)
    assert decision.reason == reason
    assert decision.candidates == tuple(hit.candidate() for hit in probe.hits)
    assert (decision.model_id, decision.gallery_version) == ("model", 7)


def test_the_nearer_face_gets_the_name_and_the_other_is_told_that_it_is_taken() -> None:
    far, near = decide([a_probe(0.7), a_probe(0.8)], SEARCHED, POLICY)
    assert (far.reason, far.person_id, far.similarity) == ("taken", None, 0.7)
    assert (near.reason, near.person_id) == ("matched", "per_0")


def test_of_two_equally_near_faces_the_larger_gets_the_name() -> None:
    first, second = decide([a_probe(0.8), a_probe(0.8)], SEARCHED, POLICY)
    assert (first.reason, second.reason) == ("matched", "taken")


def test_an_average_of_unlike_pictures_must_come_nearer() -> None:
    single = required_similarity(POLICY, 10)
    assert required_similarity(POLICY, 10, probe=0.81, template=1.0) == pytest.approx(single / 0.9)
    assert required_similarity(POLICY, 10, probe=0.0, template=0.0) == 1.0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(sorted(CALIBRATIONS)))
def test_thresholds_never_fall_as_the_gallery_grows(one: int, other: int, model: str) -> None:
    small, large = sorted((one, other))
    curve = CALIBRATIONS[model]
    assert curve.floor <= curve.threshold(small) <= curve.threshold(large) <= 1.0


def test_the_curve_meets_its_points_and_goes_on_beyond_them() -> None:
    curve = Calibration(((10, 0.4), (100, 0.5)), floor=0.3)
    assert curve.threshold(0) == 0.3
    assert curve.threshold(10) == pytest.approx(0.4)
    assert curve.threshold(100) == pytest.approx(0.5)
    assert curve.threshold(1000) == pytest.approx(0.6)
    assert curve.threshold(1) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("points", "floor"),
    [(((10, 0.4),), 0.3), (((10, 0.4), (5, 0.5)), 0.3), (((10, 0.5), (20, 0.4)), 0.3),
     (((10, 0.4), (20, 0.5)), 0.9), (((0, 0.4), (20, 0.5)), 0.3)],
)  # fmt: skip
def test_a_curve_that_falls_is_refused(points: tuple[tuple[int, float], ...], floor: float) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        Calibration(points, floor)


def test_a_curve_follows_from_thresholds_of_comparisons() -> None:
    curve = calibration_of({0.1: 0.1, 0.0001: 0.4, 0.001: 0.3})
    assert curve.points == ((10, 0.3), (100, 0.4))
    assert curve.threshold(1) == curve.floor == 0.3
    assert curve.threshold(100) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "thresholds", [{}, {0.001: 0.3}, {0.05: 0.1, 0.001: 0.3}, {0.001: 0.4, 0.0001: 0.3}]
)
def test_thresholds_that_give_no_curve_are_refused(thresholds: dict[float, float]) -> None:
    with pytest.raises(ValueError, match=r"thresholds (are needed|must not fall)"):
        calibration_of(thresholds)


def test_a_margin_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="margin must be"):
        Calibration(((1, 0.4), (2, 0.5)), floor=0.3, margin=2.0)


@pytest.mark.parametrize("changes", [{"quality_floor": -1.0}, {"candidates": 0}])
def test_policies_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(POLICY, **changes)  # type: ignore[arg-type]  # any field
