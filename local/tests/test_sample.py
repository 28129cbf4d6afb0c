from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from local import sample


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of the scene instead of thirty: the same code, in a test's time."""
    monkeypatch.setattr(sample, "SECONDS", 2)


@pytest.mark.usefixtures("short")
def test_the_sample_is_made_once_and_then_kept(tmp_path: Path) -> None:
    said: list[str] = []
    first = sample.prepare(tmp_path, said.append)
    made = first.video.stat().st_mtime_ns
    again = sample.prepare(tmp_path, lambda line: pytest.fail(f"worked again: {line}"))
    assert again == first
    assert again.video.stat().st_mtime_ns == made
    assert len(said) == 2


@pytest.mark.usefixtures("short")
def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    made = sample.prepare(tmp_path, lambda _: None)
    assert sorted(made.video.parent.iterdir()) == sorted([made.video, made.portrait])


@pytest.mark.usefixtures("short")
def test_the_video_has_the_promised_size_rate_and_keyframes(tmp_path: Path) -> None:
    made = sample.prepare(tmp_path, lambda _: None)
    with av.open(str(made.video)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == made.fps
        frames = list(container.decode(stream))
    assert {(frame.width, frame.height) for frame in frames} == {(sample.WIDTH, sample.HEIGHT)}
    assert len(frames) == 2 * made.fps
    assert frames[0].key_frame
    assert frames[sample.FPS].key_frame


def test_the_scene_is_the_same_at_both_ends_of_the_loop() -> None:
    first = np.asarray(sample._backdrop(0), dtype=int)
    assert np.abs(first - np.asarray(sample._backdrop(sample.SECONDS), dtype=int)).max() <= 1
    assert np.abs(first - np.asarray(sample._backdrop(sample.SECONDS / 2), dtype=int)).max() > 20


@pytest.mark.parametrize("person", [sample._HOPPER, sample._COLLINS])
def test_each_person_is_away_for_longer_than_a_sighting_waits(person: sample._Person) -> None:
    seconds, places = zip(*person.walk, strict=True)
    times = np.arange(0, sample.SECONDS, 0.1)
    middle = np.interp(times, seconds, places)
    hidden = (middle <= -sample._OUTSIDE) | (middle >= sample.WIDTH + sample._OUTSIDE)
    assert 12 <= 0.1 * hidden.sum() <= 18
    assert hidden[0]
    assert hidden[-1]


def test_they_are_seen_alone_and_together() -> None:
    times = np.arange(0, sample.SECONDS, 0.1)
    seen = []
    for person in (sample._HOPPER, sample._COLLINS):
        seconds, places = zip(*person.walk, strict=True)
        middle = np.interp(times, seconds, places)
        seen.append((middle > 0) & (middle < sample.WIDTH))
    first, second = seen
    assert (first & second).sum() > 30
    assert (first & ~second).sum() > 30
    assert (second & ~first).sum() > 30


def test_the_portrait_is_another_picture_than_the_cut_out(tmp_path: Path) -> None:
    path = tmp_path / "portrait.jpg"
    sample._portrait().save(path)
    with Image.open(path) as portrait:
        assert portrait.size == (272, 336)
        assert portrait.size != sample._cut_out(sample._HOPPER).size


@pytest.mark.slow
def test_a_frontal_face_detector_finds_the_people_while_they_stand(tmp_path: Path) -> None:
    dlib = pytest.importorskip("dlib")
    detector = dlib.get_frontal_face_detector()
    made = sample.prepare(tmp_path, lambda _: None)
    found = []
    with av.open(str(made.video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            second, rest = divmod(index, sample.FPS)
            if rest == 0 and second in {4, 7, 11, 12, 17, 19}:
                found.append(len(detector(frame.to_ndarray(format="rgb24"), 1)))
    assert found == [1, 1, 2, 2, 1, 1]
