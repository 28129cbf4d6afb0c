"""Pictures of which a part was lost on the way are not shown, and are counted."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from camera.adapters import pyav_decoding
from camera.adapters.file_source import FAST, FileCameras
from camera.adapters.pyav_decoding import Decoder
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

FRAMES = 10
Damage = Callable[[bytes], bytes]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def garbage(data: bytes) -> bytes:
    return b"\xff" * len(data)


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., str]:
    """Ten pictures of noise; one of them damaged, or all."""

    def make(codec: str, damage: Damage, *, only: int | None = 4) -> str:
        path, random = str(tmp_path / "clip.nut"), np.random.default_rng(0)
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=10)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = 2, 0
            pictures: list[Any] = [
                av.VideoFrame.from_ndarray(random.integers(0, 255, (48, 64, 3), np.uint8))
                for _ in range(FRAMES)
            ]
            packets = [packet for each in (*pictures, None) for packet in stream.encode(each)]
            for number, packet in enumerate(packets):
                if only is None or number == only:
                    container.mux(damaged(packet, damage))
                else:
                    container.mux(packet)
        return path

    return make


def damaged(packet: Any, damage: Damage) -> Any:
    made: Any = av.Packet(damage(bytes(packet)))
    made.pts, made.dts, made.stream = packet.pts, packet.dts, packet.stream
    made.time_base, made.duration = Fraction(packet.time_base), packet.duration
    made.is_keyframe = packet.is_keyframe
    return made


CASES = [("libx264", half), ("libx264", garbage), ("mjpeg", half), ("mjpeg", garbage)]


@pytest.mark.parametrize(("codec", "damage"), CASES)
def test_a_damaged_picture_is_passed_over_and_counted(
    video: Callable[..., str], codec: str, damage: Damage
) -> None:
    with av.open(video(codec, damage)) as container:
        decoder = Decoder.of(container, 10.0)
        shown = [round(10 * frame.media_time) for frame in decoder.frames()]
    assert 4 not in shown
    assert len(shown) + decoder.passed_over["broken_picture"] == FRAMES
    assert decoder.passed_over["broken_picture"] >= 1


@pytest.mark.parametrize("damage", [bytes, garbage], ids=["whole", "damaged"])
def test_a_stream_of_which_nothing_can_be_shown_is_unreadable(
    video: Callable[..., str], damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(pyav_decoding, "time", SimpleNamespace(monotonic=lambda: now))

    def slowly(packets: Iterator[Any]) -> Iterator[Any]:
        """A packet that is not the stream's end takes 0.4 s."""
        nonlocal now
        for packet in packets:
            now += 0.4
            yield packet

    with av.open(video("mjpeg", damage, only=None)) as container:
        slow = SimpleNamespace(
            streams=container.streams, demux=lambda track: slowly(container.demux(track))
        )
        decoder = Decoder.of(slow, 1.0)
        frames = decoder.frames()
        if damage is bytes:
            assert len(list(frames)) == FRAMES
            return
        with pytest.raises(SourceError, match="no picture could be decoded for 1 s") as caught:
            list(frames)
    assert caught.value.code is ErrorCode.UNREADABLE
    assert decoder.passed_over == Counter(broken_picture=3)


def test_the_damaged_pictures_of_a_file_are_counted_in_every_round(
    video: Callable[..., str],
) -> None:
    path = video("mjpeg", half)
    stream = StreamConfig(stream_type=StreamType.FILE, url=path, loop=True, pace=FAST)
    source = FileCameras()(a_camera(stream=stream), None)
    source.open()
    assert all(source.read() is not None for _ in range(2 * FRAMES))
    source.close()
    assert source.passed_over == {"broken_picture": 2}
