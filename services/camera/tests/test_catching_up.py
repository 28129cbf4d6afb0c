"""A reader that is behind leaves packets out, up to where decoding can begin."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.adapters.pyav_decoding import Decoder
from camera.domain.catching_up import CatchUp
from camera.ports import VideoFrame

FPS, GOP = 10, 10


@pytest.fixture(scope="module", params=[0, 2], ids=["in order", "reordered"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty frames, a key frame every second; also with frames that refer to later ones."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.codec_context.max_b_frames = request.param
        stream.options = {"sc_threshold": "0", "bf": str(request.param)}
        for _ in range(60):
            pixels = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def shown(frames: Iterator[VideoFrame]) -> list[tuple[float, int]]:
    return [(frame.media_time, frame.fingerprint()) for frame in frames]


def test_what_is_decoded_after_a_gap_is_what_it_would_have_been(video: Path) -> None:
    with av.open(str(video)) as container:
        whole = shown(Decoder.of(container, 10.0).frames())
    with av.open(str(video)) as container:
        decoder = Decoder.of(container, 10.0)
        frames = decoder.frames()
        found = [next(frames) for _ in range(24)]
        told = [(frame.media_time, frame.fingerprint()) for frame in found[-1:]]
        decoder.catch_up()
        told += shown(frames)

    times = [at for at, _ in told]
    assert set(told) <= set(whole)
    assert times == sorted(times)
    assert 3.0 in times
    assert 0 < decoder.left_out < GOP
    assert 23 + len(told) + decoder.left_out == len(whole)


def test_a_reader_that_stays_behind_decodes_key_frames_alone(video: Path) -> None:
    with av.open(str(video)) as container:
        decoder = Decoder.of(container, 10.0)
        times = []
        for frame in decoder.frames():
            times.append(frame.media_time)
            decoder.catch_up()
    assert {2.0, 3.0, 4.0, 5.0} <= set(times)
    assert len(times) + decoder.left_out == 60
    assert decoder.left_out > 30


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_decoding_goes_on_only_at_a_key_frame(packets: list[tuple[bool, bool]]) -> None:
    """Each packet: whether it holds a key frame, and whether the reader is behind after it."""
    catch_up, after_gap, left_out = CatchUp(5.0), False, 0
    for number, (key, behind) in enumerate(packets):
        if catch_up.leaves_out(key=key):
            after_gap, left_out = True, left_out + 1
        else:
            resumed = catch_up.resumes(key=key, media_time=number / FPS)
            assert key or not after_gap
            assert resumed or not after_gap
            after_gap = False
        if behind:
            catch_up.begin()
    assert catch_up.left_out == left_out


@pytest.mark.parametrize("key_times", [[], [0.0], [0.0, 5.1], [0.0, None]])
def test_key_frames_that_come_seldom_or_not_yet_are_not_waited_for(
    key_times: list[float | None],
) -> None:
    catch_up = CatchUp(5.0)
    for at in key_times:
        catch_up.resumes(key=True, media_time=at)
    catch_up.begin()
    assert not catch_up.leaves_out(key=False)
