"""Where key frames alone come often enough, nothing else is decoded."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.camera.tests.test_catching_up import GOP, shown, video  # noqa: F401 -- a fixture

from camera.adapters.pyav_decoding import Decoder
from camera.domain.sparing import Sparing
from mesh.source.statistics import Statistics

KEYS_UNTIL_SURE = 4
"""Three intervals between key frames."""


@pytest.fixture
def whole(video: Path) -> list[tuple[float, int]]:  # noqa: F811 -- the fixture
    with av.open(str(video)) as container:
        return shown(Decoder.of(container, 10.0).frames())


@pytest.fixture
def decoder(video: Path) -> Iterator[Decoder]:  # noqa: F811 -- the fixture
    with av.open(str(video)) as container:
        yield Decoder.of(container, 10.0)


def test_key_frames_alone_are_decoded_and_shown_at_once(
    decoder: Decoder, whole: list[tuple[float, int]]
) -> None:
    decoder.wants(1.0)
    found, spared = [], []
    for frame in decoder.frames():
        found.append((frame.media_time, frame.fingerprint()))
        spared.append(decoder.spared)
    sure = KEYS_UNTIL_SURE - 1
    assert found == [each for each in whole if each[0] <= sure or each[0] == int(each[0])]
    assert decoder.spared == len(whole) - len(found) == 3 * (GOP - 1)
    assert spared[-2:] == [GOP - 1, 2 * (GOP - 1)], "a key frame waited for the one after it"


@pytest.mark.parametrize("fps", [1.1, 5.0, 25.0])
def test_everything_is_decoded_where_key_frames_come_too_seldom(
    decoder: Decoder, whole: list[tuple[float, int]], fps: float
) -> None:
    decoder.wants(fps)
    assert shown(decoder.frames()) == whole
    assert decoder.spared == 0


def test_who_wants_more_gets_it_from_the_next_key_frame_on(
    decoder: Decoder, whole: list[tuple[float, int]]
) -> None:
    decoder.wants(0.5)
    found = []
    for frame in decoder.frames():
        found.append((frame.media_time, frame.fingerprint()))
        if frame.media_time == 4.0:
            decoder.wants(5.0)
    assert found == [each for each in whole if each[0] <= 3.0 or each[0] == 4.0 or each[0] >= 5.0]


KEY = st.tuples(st.just(True), st.floats(0.01, 3.0))
OTHER = st.tuples(st.just(False), st.floats(0.01, 0.5))


@given(st.lists(KEY | OTHER, max_size=80), st.sampled_from([0.5, 1.0, 2.0]))
def test_nothing_is_decoded_that_refers_to_what_was_left_out(
    packets: list[tuple[bool, float]], fps: float
) -> None:
    """Each packet: whether it holds a key frame, and how long after the one before it comes."""
    sparing, at, gap = Sparing(5.0), 0.0, False
    keys: list[float] = []
    for key, after in packets:
        at += after
        left_out = sparing.leaves_out(key=key, media_time=at)
        sparing.wants(fps)
        assert not (key and left_out)
        assert left_out or key or not gap
        gap = left_out or (gap and not key)
        keys += [at] if key else []
        if left_out:
            apart = [late - early for early, late in zip(keys[-4:], keys[-3:], strict=False)]
            assert len(apart) == 3
            assert max(apart) <= 1.05 / fps


@pytest.mark.parametrize(
    ("times", "others"),
    [
        pytest.param([0.0, 1.0, 2.0], 3, id="not sure yet"),
        pytest.param([0.0, 1.0, 2.0, 4.5], 3, id="one came late"),
        pytest.param([0.0, 1.0, None, 2.0, 3.0], 3, id="one of unknown time"),
        pytest.param([3.0, 2.0, 3.0, 4.0], 3, id="time went back"),
        pytest.param([0.0, 1.0, 2.0, 3.0], 0, id="nothing between them"),
    ],
)
def test_key_frames_that_are_not_relied_upon(times: list[float | None], others: int) -> None:
    sparing = Sparing(5.0)
    sparing.wants(0.5)
    for at in times:
        sparing.leaves_out(key=True, media_time=at)
        for _ in range(others):
            assert not sparing.leaves_out(key=False, media_time=at)


def test_pictures_that_nobody_decoded_came_all_the_same() -> None:
    statistics = Statistics()
    for second in range(5):
        statistics.spared(24)
        statistics.arrived(float(second), 1000, None)
        statistics.skipped()
    figures = statistics.figures(5.0)
    assert figures.captured == figures.skipped == 125
    assert figures.fps == 25.0
    assert figures.dropped == {}


def test_a_stream_without_any_wish_is_decoded_whole() -> None:
    sparing = Sparing(5.0)
    for number in range(50):
        assert not sparing.leaves_out(key=number % 10 == 0, media_time=number / 10)
