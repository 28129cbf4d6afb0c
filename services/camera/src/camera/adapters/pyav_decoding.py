"""Pictures out of PyAV's packets."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import av

from camera.adapters.jpeg_frame import JpegFrame
from camera.adapters.jpeg_tables import with_tables
from camera.adapters.pyav_clock import StreamClock, place
from camera.adapters.pyav_frame import PyAvFrame
from camera.adapters.pyav_jpeg import JpegEncoder
from camera.adapters.pyav_tracks import only_track
from camera.adapters.restamped import Restamped
from camera.domain.catching_up import CatchUp
from camera.domain.damage import Damage
from camera.domain.jpeg import whole_jpeg
from camera.domain.life import ErrorCode
from camera.domain.sparing import Sparing
from camera.ports import SourceError, VideoFrame
from mesh.events import TimestampSource

NEARLY = 0.95
"""What took this share of the time-out ended because of it, whatever FFmpeg calls it."""
_DEFAULT_FPS = 25.0
_KEY_SHARE = 0.5
"""Of the time-out, that key frames may be apart and still be waited for."""
_JPEG = "mjpeg"
_BROKEN = "broken_picture"
_ALL_SHOWN = frozenset({"h264", "hevc"})
"""Codecs that have no packets without a picture to show."""


@dataclass(slots=True)
class Decoder:
    """Packets of the first video track, decoded.

    Packets that are JPEG pictures are not decoded. Other tracks of video are read and ignored.
    """

    container: Any
    timeout: float
    passed_over: Counter[str]
    """Pictures that are not whole are counted here."""
    _track: Any = None
    _received: int = 0
    _last: float = field(default_factory=time.monotonic)
    _broken_before: int = 0
    """Of those, up to the picture before."""
    _clock: StreamClock = field(default_factory=StreamClock)
    _encoder: JpegEncoder = field(default_factory=JpegEncoder)
    _catch_up: CatchUp = field(init=False)
    _sparing: Sparing = field(init=False)
    _damage: Damage = field(init=False)

    def __post_init__(self) -> None:
        self._catch_up = CatchUp(_KEY_SHARE * self.timeout)
        self._sparing = Sparing(_KEY_SHARE * self.timeout)
        self._damage = Damage(_KEY_SHARE * self.timeout)
        self._broken_before = self.passed_over[_BROKEN]

    @classmethod
    def of(cls, container: Any, timeout: float, passed_over: Counter[str] | None = None) -> Self:
        """A decoder for the container, which may go on counting what is passed over.

        Raises:
            SourceError: There is no video in it, or nobody here can decode it.
        """
        track = only_track(container)
        track.codec_context.thread_count = 1
        return cls(container, timeout, Counter() if passed_over is None else passed_over, track)

    @property
    def codec(self) -> str:
        """Name of the track's codec."""
        return str(self._track.codec_context.codec.canonical_name)

    @property
    def fps(self) -> float:
        """The rate that the container names."""
        rate = self._track.average_rate
        return float(rate) if rate else _DEFAULT_FPS

    @property
    def left_out(self) -> int:
        """Packets that were not decoded, to catch up."""
        return self._catch_up.left_out

    @property
    def spared(self) -> int:
        """Packets that were not decoded because nobody wanted their pictures."""
        return self._sparing.left_out

    def wants(self, fps: float) -> None:
        """Key frames alone are decoded while they come as often as that."""
        self._sparing.wants(fps)

    def catch_up(self) -> None:
        """Leaves packets out until the next key frame, if these come often enough."""
        self._catch_up.begin()

    def frames(self) -> Iterator[VideoFrame]:
        """Pictures until the stream ends; those that are broken are passed over.

        Raises:
            SourceError: Nothing could be decoded for a whole time-out.
        """
        pictures = self._passed_on if self.codec == _JPEG else self._decoded
        for packet in self._packets():
            self._received += packet.size
            self._clock.note(packet)
            if not packet.size or not self._leaves_out(packet):
                for frame in pictures(packet):
                    yield frame
                    self._last = time.monotonic()
                    self._broken_before = self.passed_over[_BROKEN]
            if time.monotonic() - self._last > self.timeout:
                broken = self.passed_over[_BROKEN] > self._broken_before
                code = ErrorCode.UNREADABLE if broken else ErrorCode.FROZEN
                raise SourceError(code, f"no picture could be decoded for {self.timeout:g} s")

    def _leaves_out(self, packet: Any) -> bool:
        key = bool(packet.is_keyframe)
        spared = self._sparing.leaves_out(key=key, media_time=place(packet))
        return spared or self._catch_up.leaves_out(key=key)

    def _decoded(self, packet: Any) -> Iterator[VideoFrame]:
        for picture in self._pictures(packet):
            media_time, claimed = self._clock.times(picture.time)
            size, source = self._take_received(), TimestampSource.RTCP
            yield PyAvFrame(media_time, claimed, source, size, picture, self._encoder)

    def _pictures(self, packet: Any) -> list[av.VideoFrame]:
        """What a packet brings, before it what the decoder held when packets were left out."""
        held: list[av.VideoFrame] = []
        try:
            if self._catch_up.resumes(key=packet.is_keyframe, media_time=place(packet)):
                held = self._emptied(packet)
            brought = packet.decode()
        except av.error.InvalidDataError:
            self._damage.refused(packet.pts)
            self.passed_over[_BROKEN] += 1
            return self._whole(held)
        if packet.size and self.codec in _ALL_SHOWN:
            self._damage.took(packet.pts)
        found = self._whole([*held, *brought])
        if packet.size and self._sparing.keys_alone:  # what comes next would bring it out too late
            found += self._whole(self._emptied(packet))
        return found

    def _emptied(self, packet: Any) -> list[av.VideoFrame]:
        """What the decoder holds, which begins anew after that."""
        context = self._track.codec_context
        held: list[av.VideoFrame] = context.decode(None)
        for picture in held:
            picture.time_base = packet.time_base
        context.flush_buffers()
        self._damage.emptied()
        return held

    def _whole(self, brought: Sequence[av.VideoFrame]) -> list[av.VideoFrame]:
        """Those that may be shown; counts the others, and those that never came out.

        The decoder calls corrupt what it patched up (with datagrams lost, none of it was whole),
        but neither what refers to that nor a picture of H.265 of which it refused a part.
        """
        return [picture for picture in brought if self._is_whole(picture)]

    def _is_whole(self, picture: av.VideoFrame) -> bool:
        corrupt, key = picture.is_corrupt, bool(picture.key_frame)
        shown = self._damage.showed(picture.pts, corrupt=corrupt, key=key, at=picture.time)
        if shown.broken:
            self.passed_over[_BROKEN] += shown.broken
        return shown.whole

    def _passed_on(self, packet: Any) -> Iterator[VideoFrame]:
        """The packet as it is, if it is a whole JPEG."""
        if not packet.size:
            return
        whole = whole_jpeg(bytes(packet))
        if whole is None:
            self.passed_over[_BROKEN] += 1
            return
        image, width, height = whole
        media_time, claimed = self._clock.times(place(packet))
        frame = JpegFrame(
            image=with_tables(image),
            width=width,
            height=height,
            media_time=media_time,
            size=self._take_received(),
        )
        yield Restamped(frame, media_time, claimed, TimestampSource.RTCP)

    def _packets(self) -> Iterator[Any]:
        """Packets of the track until the stream ends.

        FFmpeg answers its own read time-out by handing out the frame that its parser holds back,
        and would then wait a second time. PyAV begins to wait anew with each packet of any track,
        so it is told of all of them, lest another track hides that this one stands still.
        """
        packets, asked = self.container.demux(*self.container.streams.video), time.monotonic()
        for packet in packets:
            if time.monotonic() - asked > NEARLY * self.timeout:
                break
            if packet.stream_index == self._track.index:
                yield packet
                asked = time.monotonic()
        if time.monotonic() - asked > NEARLY * self.timeout:
            raise SourceError(ErrorCode.FROZEN, f"no picture for {self.timeout:g} s")

    def _take_received(self) -> int:
        """Bytes received since the picture before."""
        size, self._received = self._received, 0
        return size
