"""Cameras of the network as small servers in the test's event loop; they show a moving scene."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from websockets.asyncio.server import ServerConnection, basic_auth, serve
from websockets.exceptions import ConnectionClosed

_EVERY_SECONDS = 0.05
_PICTURES = 20
USER, PASSWORD = "guard", "pä/ss@wörd"

Show = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def pictures(width: int, height: int) -> list[bytes]:
    shades = (np.full((height, width, 3), 20 + 10 * n, dtype=np.uint8) for n in range(_PICTURES))
    return [simplejpeg.encode_jpeg(pixels, quality=80) for pixels in shades]


@dataclass
class Scene:
    """What a camera shows, twenty pictures a second, no two in a row alike."""

    frozen: bool = False
    large: bool = False
    _sizes: dict[bool, list[bytes]] = field(
        default_factory=lambda: {False: pictures(160, 96), True: pictures(320, 192)}
    )

    def toggle(self) -> None:
        """Freezes or thaws."""
        self.frozen = not self.frozen

    async def shown(self) -> AsyncIterator[bytes]:
        number = 0
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            if not self.frozen:
                number += 1
                yield self._sizes[self.large][number % _PICTURES]


@asynccontextmanager
async def http_camera(scene: Scene, *, guarded: bool = False) -> AsyncIterator[int]:
    """MJPEG over HTTP, with a password if it is guarded; its port."""
    wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode())

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if guarded and wanted not in asked:
            writer.write(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=camera\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"
        )
        async for picture in scene.shown():
            writer.write(b"--next\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n")
            await writer.drain()

    async with _server(show) as port:
        yield port


@asynccontextmanager
async def socket_camera(scene: Scene) -> AsyncIterator[int]:
    """Pictures after one another over bare TCP; its port."""

    async def show(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for picture in scene.shown():
            writer.write(picture)
            await writer.drain()

    async with _server(show) as port:
        yield port


@asynccontextmanager
async def websocket_camera(scene: Scene, *, guarded: bool = False) -> AsyncIterator[int]:
    """A picture a message, with a password if it is guarded; its port."""

    async def show(connection: ServerConnection) -> None:
        try:
            async for picture in scene.shown():
                await connection.send(picture)
        except ConnectionClosed:
            pass

    asks = basic_auth(realm="camera", credentials=(USER, PASSWORD)) if guarded else None
    async with serve(show, "127.0.0.1", 0, close_timeout=0.1, process_request=asks) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def _server(show: Show) -> AsyncIterator[int]:
    running: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await show(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
