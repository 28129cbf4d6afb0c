import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognition.domain.alignment import (
    ARCFACE_112,
    OMZ_128,
    Template,
    apply,
    similarity_transform,
    similarity_transforms,
)


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    template=st.sampled_from([ARCFACE_112, OMZ_128]),
)
def test_a_moved_turned_and_scaled_template_is_brought_back_exactly(
    angle: float, scale: float, shift: tuple[float, float], template: Template
) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = scale * template.array() @ turn.T + np.array(shift)
    matrix = similarity_transform(moved, template.array())
    assert np.allclose(apply(matrix, moved), template.array(), atol=1e-6)


def test_a_mirrored_face_is_never_mirrored_back() -> None:
    mirrored = OMZ_128.array() * [-1.0, 1.0]
    matrix = similarity_transform(mirrored, OMZ_128.array())
    assert np.linalg.det(matrix[:, :2]) > 0


def test_many_faces_are_turned_as_each_alone_and_the_unusable_are_told() -> None:
    target = OMZ_128.array()
    noise = np.random.default_rng(3).normal(0, 4, (6, 5, 2))
    faces = target * np.linspace(0.2, 3, 6)[:, None, None] + noise
    faces[2] = 7.0
    faces[4, 1, 0] = np.nan
    matrices, usable = similarity_transforms(faces, target)
    assert usable.tolist() == [True, True, False, True, False, True]
    for index in np.flatnonzero(usable):
        assert np.allclose(matrices[index], similarity_transform(faces[index], target))
    assert np.isfinite(matrices).all()


def test_landmarks_that_are_all_one_point_are_refused() -> None:
    with pytest.raises(ValueError, match="same point"):
        similarity_transform(np.ones((5, 2)), OMZ_128.array())


def test_other_numbers_of_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        similarity_transform(np.ones((4, 2)), OMZ_128.array())


def test_templates_lie_within_their_input() -> None:
    for template in (ARCFACE_112, OMZ_128):
        assert template.array().min() > 0
        assert template.array().max() < template.size
