"""The bare loop over cameras: PyAV alone, a thread each, decodes all and encodes what is sampled.

`python -m bench.bare_cameras STEP URL…` makes JPEG of every STEPth picture, and answers each line
of its input with totals as JSON. It does as little as can be done with the same libraries: nothing
is numbered, stamped, counted by reason, published or written down.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import av
import simplejpeg
from av.video.reformatter import VideoReformatter
from typing_extensions import override

from bench.child import Child

_OPTIONS = {"rtsp_transport": "tcp", "analyzeduration": "300000", "fpsprobesize": "0"}
_SECONDS = (60.0, 60.0)
_QUALITY = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the loop has done since it began."""

    decoded: int = 0
    encoded: int = 0
    received: int = 0
    """Packets."""
    receiving_s: float = 0.0
    """Processor seconds for receiving them."""
    decoding_s: float = 0.0
    encoding_s: float = 0.0
    """Processor seconds for JPEG, colours included."""

    def since(self, before: "Totals") -> "Totals":
        """What was done between two moments."""
        earlier = asdict(before)
        return Totals(**{name: value - earlier[name] for name, value in asdict(self).items()})


class BareCamera(threading.Thread):
    """One stream, read until the process ends or the camera does."""

    def __init__(self, url: str, step: int) -> None:
        super().__init__(daemon=True)
        self.received = self.decoded = self.encoded = 0
        self.receiving_s = self.decoding_s = self.encoding_s = 0.0
        self._url, self._step = url, step

    @override
    def run(self) -> None:
        """Decodes everything, encodes one picture of so many."""
        with av.open(self._url, format="rtsp", options=_OPTIONS, timeout=_SECONDS) as container:
            track = container.streams.video[0]
            track.codec_context.thread_count = 1
            to_rgb, began = VideoReformatter(), time.thread_time()
            for packet in container.demux(track):
                received = time.thread_time()
                pictures = packet.decode()
                decoded = time.thread_time()
                for picture in pictures:
                    self.decoded += 1
                    if self.decoded % self._step == 0:
                        jpeg(picture, to_rgb)
                        self.encoded += 1
                self.received += 1
                self.receiving_s += received - began
                self.decoding_s += decoded - received
                began = time.thread_time()
                self.encoding_s += began - decoded


class BareCameras(Child):
    """The loop in a process of its own; a context manager."""

    def __init__(self, urls: Sequence[str], step: int) -> None:
        super().__init__(["-m", "bench.bare_cameras", str(step), *urls])

    def totals(self) -> Totals:
        """What it has done until now."""
        self.tell("")
        return Totals(**json.loads(self.answer()))


def jpeg(picture: av.VideoFrame, to_rgb: VideoReformatter) -> bytes:
    """The picture as JPEG, by the way that the service takes with video of this kind."""
    image: bytes = simplejpeg.encode_jpeg(
        to_rgb.reformat(picture, format="rgb24", threads=1).to_ndarray(),
        quality=_QUALITY,
        colorspace="RGB",
        colorsubsampling="420",
    )
    return image


def _totals(cameras: Sequence[BareCamera]) -> Totals:
    return Totals(
        decoded=sum(camera.decoded for camera in cameras),
        encoded=sum(camera.encoded for camera in cameras),
        received=sum(camera.received for camera in cameras),
        receiving_s=sum(camera.receiving_s for camera in cameras),
        decoding_s=sum(camera.decoding_s for camera in cameras),
        encoding_s=sum(camera.encoding_s for camera in cameras),
    )


def main() -> None:
    """Read the streams and answer until the input ends."""
    cameras = [BareCamera(url, int(sys.argv[1])) for url in sys.argv[2:]]
    for camera in cameras:
        camera.start()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(asdict(_totals(cameras))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
