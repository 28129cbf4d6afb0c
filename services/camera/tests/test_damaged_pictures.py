"""Pictures of which a part was lost on the way are not shown, and are counted."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
from services.camera.tests.patience import PATIENT
from services.camera.tests.rtsp_servers import rtsp_servers
from services.camera.tests.wires import LossyWire, opened

from camera.adapters import pyav_decoding
from camera.adapters.file_source import FAST, FileCameras
from camera.adapters.pyav_decoding import Decoder
from camera.adapters.rtsp_cameras import RtspCameras
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from local import rtsp
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
    """Pictures of noise, ten a second; one of them damaged, or all."""

    def make(
        codec: str,
        damage: Damage,
        *,
        only: int | None = 4,
        count: int = FRAMES,
        gop: int = 2,
        **options: str,
    ) -> str:
        path, random = str(tmp_path / "clip.nut"), np.random.default_rng(0)
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=10)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, 0
            stream.codec_context.options = options
            pictures: list[Any] = [
                av.VideoFrame.from_ndarray(random.integers(0, 255, (48, 64, 3), np.uint8))
                for _ in range(count)
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


def test_what_refers_to_a_damaged_picture_is_passed_over_too(video: Callable[..., str]) -> None:
    with av.open(video("libx264", half, count=20, gop=10, sc_threshold="0")) as container:
        decoder = Decoder.of(container, 10.0)
        shown = [round(10 * frame.media_time) for frame in decoder.frames()]
    assert shown == [0, 1, 2, 3, *range(10, 20)]
    assert decoder.passed_over == Counter(broken_picture=6)


def test_key_pictures_of_an_encoder_that_sends_none_are_waited_for_once(
    video: Callable[..., str],
) -> None:
    """It refreshes a part of every picture instead; a second is half of the time-out."""
    path = video("libx264", half, count=40, gop=10, **{"x264-params": "scenecut=0:intra-refresh=1"})
    with av.open(path) as container:
        decoder = Decoder.of(container, 2.0)
        shown = [round(10 * frame.media_time) for frame in decoder.frames()]
    assert shown == [0, 1, 2, 3, *range(15, 40)]
    assert decoder.passed_over == Counter(broken_picture=11)


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


def a_moving_scene(path: Path) -> set[int]:
    """Writes four seconds of H.264 with a key picture a second; what its pictures look like."""
    noise = np.random.default_rng(0).integers(0, 255, (180, 400, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.bit_rate, stream.codec_context.gop_size = 800_000, 25
        stream.codec_context.max_b_frames = 0
        for number in range(100):
            scene = np.ascontiguousarray(noise[:, number % 80 : number % 80 + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene)))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return {frame.fingerprint() for frame in Decoder.of(container, PATIENT).frames()}


def looked_at(source: FrameSource, seen: list[int], enough: Callable[[], bool]) -> None:
    """Reads until it is enough; what the pictures look like."""
    with closing(source):
        source.open()
        while not enough():
            frame = source.read()
            assert frame is not None
            seen.append(frame.fingerprint())


@pytest.mark.integration
async def test_every_picture_that_is_shown_is_whole_though_datagrams_are_lost(
    tmp_path: Path,
) -> None:
    clip, seen = tmp_path / "clip.mp4", list[int]()
    whole = a_moving_scene(clip)
    with rtsp_servers() as start:
        port = int(urlsplit(start(*rtsp.command(clip, 0)).address).port or 0)
        async with opened(wire := LossyWire(port, 1, 0.02)):
            stream = StreamConfig(
                stream_type=StreamType.RTSP,
                url=f"rtsp://{wire.host}:{wire.port}/cam0",
                transport="udp",
                timeout_seconds=PATIENT,
            )
            source = RtspCameras()(a_camera(stream=stream))

            def enough() -> bool:
                return len(seen) >= 50 and source.passed_over.get("broken_picture", 0) >= 20

            await asyncio.wait_for(asyncio.to_thread(looked_at, source, seen, enough), 4 * PATIENT)
    odd = "".join(".x"[one not in whole] for one in seen)
    assert "x" not in odd, odd
