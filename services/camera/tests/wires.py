"""Wires to cameras that misbehave on request: proxies on loopback, in the test's event loop."""

import asyncio
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any

from typing_extensions import override

_BYTE_SECONDS = 0.1
_DELAY_SECONDS = 0.2
_CLIENT_PORTS = re.compile(rb"client_port=(\d+)-(\d+)")
_SERVER_PORTS = re.compile(rb"server_port=\d+-\d+")


class Fault(Enum):
    """What a wire does to a connection."""

    NONE = auto()
    KILLED = auto()
    """Connections end, and nobody listens any more."""
    RESET = auto()
    """Connections end with RST, and so does every new one."""
    HALF_OPEN = auto()
    """Connections stand, but nothing comes through in either direction, not even their end."""
    GARBAGE = auto()
    """Whatever the camera says arrives as random bytes, also on new connections."""
    SLOW = auto()
    """A connection is lost, and on new ones a byte of the camera comes through now and then."""
    LATENCY = auto()
    """Everything comes later by a fifth of a second."""


class Wire:
    """A TCP proxy in front of a camera, at an address of its own.

    Args:
        target: The camera's port.
        number: Tells its address apart: cameras of one host would share a budget of connections.
    """

    def __init__(self, target: int, number: int) -> None:
        self.host = f"127.0.1.{number}"
        self.port = 0
        self.fault = Fault.NONE
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._healed = asyncio.Event()
        self._random = random.Random(0)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._healed.set()

    async def inflict(self, fault: Fault) -> None:
        self.fault = fault
        self._healed.clear()
        if fault is Fault.KILLED and self._server is not None:
            self._server.close()
        if fault in {Fault.KILLED, Fault.RESET, Fault.SLOW}:
            self._cut()

    async def heal(self) -> None:
        """Lets everything through again; what was held up meanwhile is lost, as are its peers."""
        was, self.fault = self.fault, Fault.NONE
        self._healed.set()
        if was is Fault.KILLED:
            await self.open()
        elif was is not Fault.LATENCY:
            self._cut()

    async def close(self) -> None:
        self._cut()
        if self._server is not None:
            self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _cut(self) -> None:
        for writer in list(self._writers):
            if self.fault is Fault.RESET:
                at_once = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, at_once
                )
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        if self.fault is Fault.RESET:
            self._cut()
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        self._writers.discard(writer)
        self._serving.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", self._target, local_addr=(self.host, 0)
        )
        self._writers.add(far_writer)
        await asyncio.gather(
            self._forward(reader, far_writer, self._asked),
            self._forward(far_reader, writer, self._answered),
            return_exceptions=True,
        )
        self._writers.discard(far_writer)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], AsyncIterator[bytes]],
    ) -> None:
        try:
            while data := await reader.read(65536):
                async for piece in change(data):
                    writer.write(piece)
                    await writer.drain()
            if self.fault is Fault.HALF_OPEN:
                await self._healed.wait()
        finally:
            writer.close()

    async def _asked(self, data: bytes) -> AsyncIterator[bytes]:
        """What the camera hears."""
        if self.fault is not Fault.HALF_OPEN:
            yield data

    async def _answered(self, data: bytes) -> AsyncIterator[bytes]:
        """What is heard of the camera."""
        match self.fault:
            case Fault.HALF_OPEN:
                return
            case Fault.GARBAGE:
                yield self._random.randbytes(len(data))
            case Fault.SLOW:
                for byte in data:
                    await asyncio.sleep(_BYTE_SECONDS)
                    yield bytes([byte])
            case Fault.LATENCY:
                await asyncio.sleep(_DELAY_SECONDS)
                yield data
            case _:
                yield data


class LossyWire(Wire):
    """RTSP over UDP through a relay that loses a share of all datagrams.

    The ports that client and camera name in SETUP are replaced by the relay's own.

    Args:
        target: The camera's port.
        number: As for `Wire`.
        share: What is lost, 0 to 1.
    """

    def __init__(self, target: int, number: int, share: float) -> None:
        super().__init__(target, number)
        self.lost = 0
        self._share = share
        self._relays: list[asyncio.DatagramTransport] = []
        self._ports = b""

    def loses(self) -> bool:
        lost = self._random.random() < self._share
        self.lost += lost
        return lost

    @override
    async def close(self) -> None:
        await super().close()
        for relay in self._relays:
            relay.close()

    @override
    async def _asked(self, data: bytes) -> AsyncIterator[bytes]:
        named = _CLIENT_PORTS.search(data)
        if named is not None:
            first, second = [await self._relay(int(port)) for port in named.groups()]
            self._ports = b"%d-%d" % (first, second)
        yield _CLIENT_PORTS.sub(b"client_port=" + self._ports, data)

    @override
    async def _answered(self, data: bytes) -> AsyncIterator[bytes]:
        yield _SERVER_PORTS.sub(b"server_port=" + self._ports, data)

    async def _relay(self, port: int) -> int:
        """A port of our own; what the camera sends there reaches the client's, or is lost."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Relay(self, port), local_addr=(self.host, 0)
        )
        self._relays.append(transport)
        number: int = transport.get_extra_info("sockname")[1]
        return number


class _Relay(asyncio.DatagramProtocol):
    def __init__(self, wire: LossyWire, port: int) -> None:
        self._wire = wire
        self._port = port

    @override
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[1] != self._port and not self._wire.loses():
            self._transport.sendto(data, ("127.0.0.1", self._port))


@asynccontextmanager
async def opened(wire: Wire) -> AsyncIterator[Wire]:
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()
