"""Folders of pictures as cameras."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import simplejpeg

from camera.adapters.file_source import FileCameras
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

Put = Callable[..., bytes]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts a grey picture of a brightness into the folder."""

    def write(name: str, brightness: int, width: int = 64) -> bytes:
        pixels = np.full((48, width, 3), brightness, dtype=np.uint8)
        if name.lower().endswith(".png"):
            coder = av.CodecContext.create("png", "w")
            assert isinstance(coder, av.VideoCodecContext)
            coder.width, coder.height, coder.pix_fmt = width, 48, "rgb24"
            coder.time_base = Fraction(1)
            (packet,) = coder.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
            data = bytes(packet)
        else:
            data = simplejpeg.encode_jpeg(pixels)
        (tmp_path / name).write_bytes(data)
        return data

    return write


def a_folder(path: Path, **changes: Any) -> FrameSource:
    stream = StreamConfig(stream_type=StreamType.FILE, url=str(path), pace="fast", loop=False)
    stream = replace(stream, **changes)
    return FileCameras()(a_camera(stream=stream))


def shown(source: FrameSource, most: int = 100) -> list[VideoFrame]:
    source.open()
    frames: list[VideoFrame] = []
    while len(frames) < most and (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def test_pictures_come_in_the_order_of_their_names_and_jpeg_as_it_is(
    put: Put, tmp_path: Path
) -> None:
    second, first = put("b.JPG", 100), put("a.jpeg", 50)
    put("c.png", 150, width=32)
    (tmp_path / "notes.txt").write_text("no picture")
    frames = shown(a_folder(tmp_path, fps=4.0))
    assert [frame.jpeg() for frame in frames[:2]] == [first, second]
    assert [frame.media_time for frame in frames] == [0.0, 0.25, 0.5]
    assert [frame.width for frame in frames] == [64, 64, 32]
    png = simplejpeg.decode_jpeg(frames[2].jpeg() or b"")
    assert abs(float(png.mean()) - 150) < 2


def test_what_cannot_be_read_is_passed_over_and_counted(put: Put, tmp_path: Path) -> None:
    whole = put("a.jpg", 50)
    (tmp_path / "b.jpg").write_bytes(whole[:-20])
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.png").write_bytes(b"no picture at all")
    (tmp_path / "e.png").mkdir()
    put("f.jpg", 60)
    source = a_folder(tmp_path)
    assert len(shown(source)) == 2
    assert source.passed_over == {"unreadable": 4}


def test_a_folder_begins_again_and_shows_what_was_added(put: Put, tmp_path: Path) -> None:
    put("a.jpg", 50)
    source = a_folder(tmp_path, loop=True)
    source.open()
    assert source.read() is not None
    put("b.jpg", 60)
    frames = [source.read() for _ in range(3)]
    prints = [frame.fingerprint() for frame in frames if frame]
    assert prints[0] == prints[2] != prints[1]
    assert source.codec == "mjpeg"


@pytest.mark.parametrize(
    ("name", "code"), [(None, ErrorCode.NOT_FOUND), ("a.jpg", ErrorCode.UNSUPPORTED)]
)
def test_a_folder_without_any_readable_picture_is_an_error_even_when_looped(
    tmp_path: Path, name: str | None, code: ErrorCode
) -> None:
    if name is not None:
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(SourceError) as caught:
        shown(a_folder(tmp_path, loop=True))
    assert caught.value.code is code
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_goes_away_is_not_found_any_more(put: Put, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    put("there/a.jpg", 50)
    source = a_folder(folder, loop=True)
    source.open()
    assert source.read() is not None
    (folder / "a.jpg").unlink()
    folder.rmdir()
    with pytest.raises(SourceError, match="cannot be listed") as caught:
        source.read()
    assert caught.value.code is ErrorCode.NOT_FOUND
