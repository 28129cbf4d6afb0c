from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.recognition.tests.arranging import vector

from recognition.domain.embedding import Mean
from recognition.domain.fusion import FusionPolicy, TrackFusion, TrackKey, TrackSample

KEY = TrackKey("cam", 1, "trk")
NOW = 1000.0


def a_sample(sequence: int, *values: float, quality: float = 0.5) -> TrackSample:
    return TrackSample(
        frame_key=f"frame {sequence}",
        sequence_number=sequence,
        vector=vector(*(values or (1.0, 0.1 * sequence))),
        quality=quality,
    )


def fuse_all(samples: list[TrackSample], policy: FusionPolicy | None = None) -> Mean:
    fusion = TrackFusion(policy or FusionPolicy(frames=3))
    return [fusion.fuse(KEY, sample, NOW) for sample in samples][-1]


@given(st.permutations([a_sample(1), a_sample(2), a_sample(3)]))
def test_earlier_frames_may_come_in_any_order(earlier: list[TrackSample]) -> None:
    last = a_sample(4)
    expected = fuse_all([a_sample(1), a_sample(2), a_sample(3), last])
    assert np.allclose(fuse_all([*earlier, last]).vector, expected.vector)


def test_the_same_frame_again_does_not_count_twice() -> None:
    once = fuse_all([a_sample(1), a_sample(2)])
    again = fuse_all([a_sample(1), a_sample(2), a_sample(1), a_sample(2)])
    assert np.array_equal(once.vector, again.vector)
    assert once.count == again.count == 2


def test_a_batch_processed_twice_decides_the_same_both_times() -> None:
    fusion = TrackFusion(FusionPolicy(frames=3))
    samples = [a_sample(1), a_sample(2), a_sample(3)]
    first = [fusion.fuse(KEY, sample, NOW).vector for sample in samples]
    second = [fusion.fuse(KEY, sample, NOW).vector for sample in samples]
    assert np.array_equal(first, second)


def test_only_the_newest_frames_are_averaged() -> None:
    assert fuse_all([a_sample(number) for number in range(20)]).count == 3


def test_one_frame_switches_fusion_off() -> None:
    fused = fuse_all([a_sample(1), a_sample(2)], FusionPolicy(frames=1))
    assert fused.count == 1
    assert np.allclose(fused.vector, a_sample(2).vector)


def test_a_track_that_changed_hands_is_not_averaged_across_persons() -> None:
    assert fuse_all([a_sample(1, 1.0), a_sample(2, 0.0, 1.0)]).count == 1


def test_better_pictures_weigh_more() -> None:
    fused = fuse_all([a_sample(1, 1.0, 0.5, quality=0.9), a_sample(2, 0.5, 1.0, quality=0.1)])
    assert fused.vector[0] > fused.vector[1]


def test_tracks_are_kept_apart_and_the_longest_untouched_is_forgotten() -> None:
    fusion = TrackFusion(FusionPolicy(max_tracks=2))
    for track in ("a", "b", "a", "c"):
        fusion.fuse(TrackKey("cam", 1, track), a_sample(1), NOW)
    assert len(fusion) == 2
    assert fusion.fuse(TrackKey("cam", 1, "a"), a_sample(2), NOW).count == 2
    assert fusion.fuse(TrackKey("cam", 1, "b"), a_sample(2), NOW).count == 1


def test_a_track_that_nobody_touched_for_long_is_forgotten() -> None:
    fusion = TrackFusion(FusionPolicy(untouched=60.0))
    gone, present = (TrackKey("cam", 1, track) for track in ("gone", "present"))
    fusion.fuse(gone, a_sample(1), NOW)
    fusion.fuse(present, a_sample(1), NOW + 30)
    assert fusion.fuse(present, a_sample(2), NOW + 60).count == 2
    assert len(fusion) == 2
    assert fusion.fuse(present, a_sample(3), NOW + 61).count == 3
    assert len(fusion) == 1
    assert fusion.fuse(gone, a_sample(2), NOW + 62).count == 1


def test_a_policy_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FusionPolicy(frames=0)


def test_every_order_of_three_frames_remembers_the_same_window() -> None:
    results = set()
    for order in permutations([a_sample(1), a_sample(2), a_sample(3)]):
        fusion = TrackFusion(FusionPolicy(frames=2))
        for sample in order:
            fusion.fuse(KEY, sample, NOW)
        results.add(fusion.fuse(KEY, a_sample(4), NOW).vector.tobytes())
    assert len(results) == 1
