"""USB cameras, read by PyAV from Linux's video devices: always the newest picture."""

import errno
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from camera.adapters.newest import Newest
from camera.adapters.pyav_decoding import Decoder
from camera.adapters.pyav_errors import sentence, translated
from camera.adapters.usb_devices import DEVICES, UsbDevice, usb_devices
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError, VideoFrame
from mesh.events import Camera, StreamConfig

_JPEG = "mjpeg"
_RAW = "raw"
"""Whatever the device gives that is not compressed: FFmpeg tries those formats first."""
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.EIO})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_LINGER_SECONDS = 1.0
"""A camera of one picture a second lets go of its device within this."""
_RESOLUTION = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}")


@dataclass(frozen=True, slots=True)
class UsbInput:
    """How FFmpeg reads a device."""

    format: str = "video4linux2"
    address: Callable[[Path], str] = str
    asks: bool = True
    """Whether codec, size and rate can be asked for."""


class UsbSource:
    """One opened device.

    A thread of its own takes every picture out of the driver's queue at once, so that none grows
    old there and a device that hangs blocks nobody; `read` gives the newest.

    Args:
        stream: Size, rate and codec to ask for.
        node: The device.
        source: How FFmpeg reads it.
    """

    def __init__(self, stream: StreamConfig, node: Path, source: UsbInput | None = None) -> None:
        self._stream = stream
        self._node = node
        self._input = source or UsbInput()
        self._newest: Newest[VideoFrame] = Newest()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._codec: str | None = None
        self._broken: Counter[str] = Counter()
        self._own_seconds = 0.0

    @property
    def transport(self) -> str | None:
        """Video for Linux."""
        return "usb"

    @property
    def codec(self) -> str | None:
        """Of the pictures."""
        return self._codec

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Pictures that a newer one replaced before anybody looked, or that were not whole."""
        return {"replaced": self._newest.replaced, **self._broken.copy()}

    @property
    def own_seconds(self) -> float:
        """Processor time of the thread that takes the pictures."""
        return self._own_seconds

    def open(self) -> None:
        """Opens the device and begins to take its pictures."""
        container = self._opened()
        decoder = Decoder.of(container, self._stream.timeout_seconds, self._broken)
        self._codec = decoder.codec
        self._thread = threading.Thread(
            target=self._drain, args=(container, decoder), name=self._node.name, daemon=True
        )
        self._thread.start()

    def read(self) -> VideoFrame | None:
        """The newest picture that was not read yet."""
        return self._newest.take(self._stream.timeout_seconds)

    def wants(self, fps: float) -> None:
        """The device's pictures do not refer to each other, and the newest is always shown."""

    def catch_up(self) -> None:
        """Always shows the newest picture."""

    def interrupt(self) -> None:
        """Ends the wait for a picture."""
        self._newest.end()

    def close(self) -> None:
        """Lets go of the device, as soon as the driver gives the thread back."""
        self._stop.set()
        self._newest.end()
        if self._thread is not None:
            self._thread.join(_LINGER_SECONDS)

    def _drain(self, container: Any, decoder: Decoder) -> None:
        error = SourceError(ErrorCode.UNREACHABLE, f"{self._node} gives no more pictures")
        try:
            with translated(self._failed):
                for frame in decoder.frames():
                    if self._stop.is_set():
                        return
                    self._newest.put(frame)
                    self._own_seconds = time.thread_time()
        except SourceError as why:
            error = why
        finally:
            container.close()
            self._newest.end(error)

    def _opened(self) -> Any:
        """The device, asked for JPEG first unless another codec is wanted."""
        with translated(self._failed):
            if self._stream.codec is None:
                with suppress(av.error.ArgumentError):  # it offers no JPEG
                    return self._container(_JPEG)
            return self._container(self._stream.codec)

    def _container(self, codec: str | None) -> Any:
        seconds = self._stream.timeout_seconds
        return av.open(
            self._input.address(self._node),
            format=self._input.format,
            options=dict(self._options(codec)) if self._input.asks else {},
            timeout=(seconds, None),
        )

    def _options(self, codec: str | None) -> Iterator[tuple[str, str]]:
        if codec and codec != _RAW:
            yield "input_format", codec
        if self._stream.resolution:
            yield "video_size", self._stream.resolution
        if self._stream.fps:
            yield "framerate", f"{self._stream.fps:g}"

    def _failed(self, error: av.error.FFmpegError) -> SourceError:
        if error.errno in _GONE:
            return SourceError(ErrorCode.UNREACHABLE, f"{self._node} is not there: unplugged?")
        if error.errno == errno.EBUSY:
            return SourceError(ErrorCode.UNREACHABLE, f"another program uses {self._node}")
        if error.errno in _FORBIDDEN:
            return SourceError(
                ErrorCode.UNAUTHORIZED, f"this process may not open {self._node}: group `video`?"
            )
        return SourceError(ErrorCode.UNSUPPORTED, f"{self._node} cannot be read: {sentence(error)}")


@dataclass(frozen=True, slots=True)
class UsbCameras:
    """Makes the sources of USB cameras, and remembers where each was plugged in.

    Linux may number a device anew when it is plugged in again: its socket tells that it is the
    same. Without the socket, number and name must be the same.

    Args:
        devices: Lists the devices of this machine.
        source: How FFmpeg reads them.
    """

    devices: Callable[[], Sequence[UsbDevice]] = usb_devices
    source: UsbInput = field(default_factory=UsbInput)
    _places: dict[tuple[str, int], UsbDevice] = field(default_factory=dict)

    def __call__(self, camera: Camera, password: str | None = None) -> FrameSource:
        """A source that is not connected yet.

        Raises:
            SourceError: The settings name no device of a node.
        """
        del password
        stream = camera.stream
        if camera.node is None:
            raise _unsupported("a USB camera needs `node`, the name of the node that it hangs on")
        if stream.device_id is None:
            raise _unsupported("a USB camera needs `device_id`, the N of /dev/videoN")
        if stream.resolution is not None and not _RESOLUTION.fullmatch(stream.resolution):
            raise _unsupported(
                f"resolution {stream.resolution!r} is not WIDTHxHEIGHT such as 1280x720"
            )
        return UsbSource(stream, self._node(camera.camera_id, stream.device_id), self.source)

    def _node(self, camera_id: str, number: int) -> Path:
        numbered = {device.number: device for device in self.devices()}
        known = self._places.get((camera_id, number))
        found = numbered.get(number)
        if known is not None:
            again = _again(known, numbered.values())
            if again is None and found is not None and found.name != known.name:
                message = f"{known.name!r} is unplugged, and {found.name!r} has its number"
                raise SourceError(ErrorCode.UNREACHABLE, message)
            found = again or found
        if found is None:
            return DEVICES / f"video{number}"
        self._places[camera_id, number] = found
        return found.node


def _again(known: UsbDevice, present: Iterable[UsbDevice]) -> UsbDevice | None:
    """The device in the same socket."""
    place = (known.bus_path, known.index)
    return next((one for one in present if (one.bus_path, one.index) == place), None)


def _unsupported(message: str) -> SourceError:
    return SourceError(ErrorCode.UNSUPPORTED, message)
