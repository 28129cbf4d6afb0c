"""Cameras that send JPEG pictures over HTTP, one after another or one for each question."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from email.message import Message

import aiohttp

from camera.adapters.bridged_source import BridgedSource, LoopThread, Received
from camera.adapters.http_pictures import AUTH_TYPES, HttpPictures, check_sign_in, failure
from camera.domain.camera_clock import moment_in, part_headers
from camera.domain.splitting import MarkerSplitter
from camera.ports import FrameSource
from mesh.events import Camera

_CHUNK = 256 * 1024


class MjpegStream:
    """Pictures of one camera over HTTP.

    What stands between two pictures is read for their headers alone: where a picture begins and
    ends is told from its own markers, so that boundaries and lengths may be wrong or missing.

    Args:
        camera: Its address, and how often one picture is asked for where there is no stream.
        password: In clear text; never part of a message.
        pictures: Asks for them; made in the event loop at the first use.
    """

    transport = "tcp"

    def __init__(
        self,
        camera: Camera,
        password: str | None,
        pictures: Callable[[], HttpPictures],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = camera.stream
        self._interval = min(
            1.0 / (camera.stream.fps or camera.detection.fps_limit),
            camera.stream.timeout_seconds / 2,
        )
        self._password = password
        self._pictures = pictures
        self._monotonic = monotonic
        self.passed_over: Counter[str] = Counter()
        self._response: aiohttp.ClientResponse | None = None
        self._headers: dict[str, str] = {}
        self._is_still = False
        """Whether an answer is one picture."""
        self._splitter = self._new_splitter("")
        self._came = 0
        """Pictures that the present answer brought."""
        self._asked = 0.0
        self._received = 0

    async def open(self) -> None:
        """Asks for the pictures."""
        self._asked, self._came = self._monotonic(), 0
        self._response = await self._pictures().ask(self._stream, self._password)
        self._headers = {name.lower(): value for name, value in self._response.headers.items()}
        self._is_still = self._response.content_type.startswith("image/")
        self._splitter = self._new_splitter(self._headers.get("content-type", ""))

    async def read(self) -> Sequence[Received]:
        """The next whole pictures; none once the camera has ended a stream."""
        while self._response is not None:
            data = await self._more(self._response)
            self._received += len(data)
            found = [
                self._framed(picture.jpeg, picture.width, picture.height, picture.before)
                for picture in self._splitter.feed(data)
            ]
            if found:
                return found
            if not data and not await self._ask_again(self._response):
                return ()
        return ()

    async def close(self) -> None:
        """Ends the connection."""
        if self._response is not None:
            self._response.close()

    async def _more(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.content.read(_CHUNK)
        except (aiohttp.ClientError, OSError) as error:
            raise failure(error, self._password) from error

    async def _ask_again(self, response: aiohttp.ClientResponse) -> bool:
        """Asks for one picture more where each answer has one; whether that is the case."""
        response.release()
        self._response = None
        if not self._came or not self._is_still:
            return False
        await asyncio.sleep(self._asked + self._interval - self._monotonic())
        await self.open()
        return True

    def _framed(self, jpeg: bytes, width: int, height: int, before: bytes) -> Received:
        self._came += 1
        size, self._received = self._received, 0
        headers = part_headers(before)
        if self._came == 1 and self._is_still:
            headers = self._headers | headers
        return Received(jpeg, width, height, size, moment_in(headers))

    def _new_splitter(self, content_type: str) -> MarkerSplitter:
        said = Message()
        said["Content-Type"] = content_type
        marker = (said.get_boundary() or "").lstrip("-").encode("ascii", "ignore")
        splitter = MarkerSplitter(
            limit=self._stream.max_message_bytes, resume=b"--" + marker if marker else None
        )
        splitter.passed_over = self.passed_over
        return splitter


def mjpeg_source(
    camera: Camera,
    password: str | None,
    *,
    loop: LoopThread,
    pictures: Callable[[], HttpPictures],
) -> FrameSource:
    """A source for an HTTP_MJPEG camera.

    Raises:
        SourceError: There is no such way to sign in.
    """
    stream = camera.stream
    check_sign_in(stream, AUTH_TYPES)
    return BridgedSource(MjpegStream(camera, password, pictures), loop, stream.timeout_seconds)
