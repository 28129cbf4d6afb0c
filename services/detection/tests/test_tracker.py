from collections.abc import Callable
from datetime import timedelta

import pytest

from detection.adapters.tracker import ShortTermTracker
from detection.domain.face import RawFace
from mesh.events import FrameHeader
from mesh.testing import NOON, a_frame_header

MakeFace = Callable[..., RawFace]


def frame(number: int, *, seconds: float | None = None, **changes: object) -> FrameHeader:
    """Frame `number` at five frames per second."""
    at = NOON + timedelta(seconds=number / 5 if seconds is None else seconds)
    return a_frame_header(sequence_number=number, received_timestamp=at, **changes)


def test_a_face_keeps_its_track_while_it_walks(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    seen = {tracker.follow(frame(n), [a_face(x=100 + 20 * n, side=60)])[0] for n in range(12)}
    assert len(seen) == 1
    assert seen != {None}


def test_two_faces_have_two_tracks_in_the_order_of_the_faces(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    left, right = a_face(x=50), a_face(x=400)
    first = tracker.follow(frame(0), [left, right])
    assert len(set(first)) == 2
    assert tracker.follow(frame(1), [right, left]) == first[::-1]


def test_every_face_has_a_track_in_the_first_frame_that_shows_it(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    tracker.follow(frame(0), [a_face(x=50)])
    (_, newcomer) = tracker.follow(frame(1), [a_face(x=50), a_face(x=400)])
    assert newcomer is not None
    assert tracker.follow(frame(2), [a_face(x=400)]) == [newcomer]


def test_a_short_occlusion_does_not_end_a_track(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    before = tracker.follow(frame(0), [a_face()])
    for number in range(1, 6):
        assert tracker.follow(frame(number), []) == []
    assert tracker.follow(frame(6), [a_face()]) == before


def test_a_face_that_comes_back_later_has_a_new_track(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    before = tracker.follow(frame(0), [a_face()])
    assert tracker.follow(frame(1, seconds=5), [a_face()]) != before


def test_a_face_elsewhere_is_another_track(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    before = tracker.follow(frame(0), [a_face(x=50)])
    assert tracker.follow(frame(1), [a_face(x=450)]) != before


def test_slow_cameras_are_followed_too(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    seen = {tracker.follow(frame(n, seconds=2 * n), [a_face(x=100 + 4 * n)])[0] for n in range(5)}
    assert len(seen) == 1


def test_cameras_and_epochs_do_not_mix(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    face = a_face()
    headers = [frame(0), frame(0, epoch=77), frame(0, camera_id="cam_other")]
    tracks = [tracker.follow(header, [face])[0] for header in headers]
    assert tracks[0] != tracks[1]
    assert len(tracker) == 3


def test_a_repeated_frame_gets_the_same_tracks_and_a_late_one_none(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    tracker.follow(frame(0), [a_face()])
    first = tracker.follow(frame(1), [a_face(), a_face(x=400)])
    assert tracker.follow(frame(1), [a_face(), a_face(x=400)]) == first
    assert tracker.follow(frame(1), [a_face()]) == [None]
    assert tracker.follow(frame(0), [a_face()]) == [None]


def test_a_clock_that_stands_still_or_jumps_back_is_borne(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    seen = {
        tracker.follow(frame(n, seconds=at), [a_face()])[0]
        for n, at in enumerate([10, 10, 9.5, 10.4])
    }
    assert len(seen) == 1


def test_a_restarted_process_gives_no_name_twice(a_face: MakeFace) -> None:
    before = ShortTermTracker().follow(frame(0), [a_face()])
    after = ShortTermTracker().follow(frame(40), [a_face()])
    assert before != after


def test_replaying_a_stream_gives_the_same_names(a_face: MakeFace) -> None:
    def play() -> list[list[str | None]]:
        tracker = ShortTermTracker()
        return [tracker.follow(frame(n), [a_face(x=100 + 9 * n)]) for n in range(5)]

    assert play() == play()


def test_a_name_tells_the_epoch(a_face: MakeFace) -> None:
    (track,) = ShortTermTracker().follow(frame(37, epoch=36**3 + 10), [a_face()])
    assert track == "trk_100a_11_0"


def test_idle_cameras_are_forgotten(a_face: MakeFace) -> None:
    tracker = ShortTermTracker()
    tracker.follow(frame(0, camera_id="cam_a"), [a_face()])
    tracker.follow(frame(1, camera_id="cam_b", seconds=61), [a_face()])
    assert len(tracker) == 1


@pytest.mark.parametrize("cameras", [5, 50])
def test_memory_is_bounded(cameras: int, a_face: MakeFace) -> None:
    tracker = ShortTermTracker(max_streams=4)
    for number in range(cameras):
        tracker.follow(frame(0, camera_id=f"cam_{number}"), [a_face()])
    assert len(tracker) == 4
