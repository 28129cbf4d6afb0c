"""Devices that answer for themselves: WS-Discovery over UDP.

A probe of our own: PyPI's WSDiscovery sends on every interface and cannot be told otherwise, runs
five threads to wait for three seconds, and warns that it does not check what it receives. It is the
peer of the tests.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from camera.adapters.soap import ENVELOPE, Node, SoapError, every, parse, text
from mesh.logs import get_logger

GROUP = "239.255.255.250"
PORT = 3702
_REPEAT_SECONDS = (0.0, 0.2)
"""Datagrams get lost; devices wait up to half a second before they answer."""
_NAMESPACES = (
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl"'
    ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
)
_HEADER = (
    "<a:MessageID>urn:uuid:{message_id}</a:MessageID>"
    "<a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
    "</a:Address></a:ReplyTo>"
    '<a:To s:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>'
    '<a:Action s:mustUnderstand="true">'
    "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>"
)
_BODY = "<d:Probe><d:Types>{types}</d:Types></d:Probe>"
_TYPES = ("dn:NetworkVideoTransmitter", "tds:Device")
"""A device must match all types of a probe, and not all devices know both: so two probes."""
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_GET_FLAGS = 0x8913
"""SIOCGIFFLAGS of Linux."""
_INTERFACE = struct.Struct("=16sH22x")
_TTL = 1
_LONGEST = 65_535


@dataclass(frozen=True, slots=True)
class Match:
    """A device that answered a probe."""

    identity: str
    address: str
    """The address that the answer came from."""
    services: tuple[str, ...]
    """Addresses of its device service as it tells them."""
    scopes: tuple[str, ...] = ()


def probes(message_id: str) -> Sequence[bytes]:
    """The messages that ask for cameras."""
    header = _HEADER.format(message_id=message_id)
    return [
        ENVELOPE.format(
            namespaces=_NAMESPACES, header=header, body=_BODY.format(types=types)
        ).encode()
        for types in _TYPES
    ]


def matches(data: bytes, address: str, message_id: str) -> Sequence[Match]:
    """The cameras in an answer to our probe; none in anything else.

    Raises:
        SoapError: It is no message at all.
    """
    root = parse(data)
    related = text(root, "RelatesTo") or ""
    if message_id.lower() not in related.lower():
        return []
    found = (_match(one, address) for one in every(root, "ProbeMatch"))
    return [one for one in found if one is not None]


def _match(node: Node, address: str) -> Match | None:
    identity = text(node, "EndpointReference", "Address")
    types = (text(node, "Types") or "").split()
    scopes = tuple((text(node, "Scopes") or "").split())
    services = tuple((text(node, "XAddrs") or "").split())
    camera = any(one.rpartition(":")[2] == "NetworkVideoTransmitter" for one in types) or any(
        scope.lower().startswith("onvif://") for scope in scopes
    )
    if identity is None or not camera:
        return None
    plain = identity.lower().removeprefix("urn:").removeprefix("uuid:")
    return Match(f"urn:uuid:{plain}"[:200], address, services[:10], scopes[:50])


def interfaces() -> Sequence[str]:
    """Names of the interfaces that lead to others and carry multicast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        return [name for _, name in socket.if_nameindex() if _suits(_flags(udp, name))]


def _flags(udp: socket.socket, name: str) -> int:
    """What the system says of an interface; nothing if it is gone."""
    question = _INTERFACE.pack(name.encode(), 0)
    try:
        _, flags = _INTERFACE.unpack(fcntl.ioctl(udp, _GET_FLAGS, question))
    except OSError:
        return 0
    return int(flags)


def _suits(flags: int) -> bool:
    return bool(flags & _UP and flags & _MULTICAST) and not flags & _LOOPBACK


class ProbeError(Exception):
    """No probe could be sent anywhere."""


class Prober:
    """Sends probes and hands on who answers. For one look, within one event loop.

    Args:
        found: Hears of every device, of some several times.
        names: Interfaces to send on; `None` takes all that lead to others.
        target: Group and port.
    """

    def __init__(
        self,
        found: Callable[[Match], None],
        *,
        names: Sequence[str] | None = None,
        target: tuple[str, int] = (GROUP, PORT),
    ) -> None:
        self._found = found
        self._names = names
        self._target = target
        self._message_id = str(uuid4())

    async def ask_all(self, seconds: float) -> None:
        """Asks everybody in reach of the interfaces and listens for so long.

        Raises:
            ProbeError: No interface takes the probe.
        """
        names = interfaces() if self._names is None else self._names
        if not names:
            raise ProbeError("this machine has no interface that carries multicast")
        tried = [self._ask_on(name, seconds) for name in names]
        problems = [problem for problem in await asyncio.gather(*tried) if problem is not None]
        if len(problems) == len(names):
            raise ProbeError("no interface takes a probe: " + "; ".join(problems))

    async def ask(self, address: str, seconds: float) -> None:
        """Asks one host by its address and listens for so long; a silent one is no error."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            udp.setblocking(False)
            await self._ask(udp, (address, self._target[1]), seconds)

    async def _ask_on(self, name: str, seconds: float) -> str | None:
        """Why nobody could be asked on this interface, if so."""
        try:
            with _on_interface(name) as udp:
                await self._ask(udp, self._target, seconds)
        except OSError as error:
            return f"{name}: {error.strerror or error}"
        return None

    async def _ask(self, udp: socket.socket, target: tuple[str, int], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        listening = loop.create_task(self._listen(udp))
        try:
            for pause in _REPEAT_SECONDS:
                await asyncio.sleep(min(pause, seconds))
                for probe in probes(self._message_id):
                    await loop.sock_sendto(udp, probe, target)
            await asyncio.sleep(max(0.0, seconds - sum(_REPEAT_SECONDS)))
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            if not listening.cancelled():
                listening.result()

    async def _listen(self, udp: socket.socket) -> None:
        """Hands on who answers; whatever is no answer is passed over."""
        loop = asyncio.get_running_loop()
        while True:
            data, sender = await loop.sock_recvfrom(udp, _LONGEST)
            address = str(sender[0]).partition("%")[0]
            try:
                answered = matches(data, address, self._message_id)
            except SoapError as error:
                get_logger("camera.discovery").info("probe_answer_unread", problem=str(error))
                continue
            for match in answered:
                self._found(match)


def _on_interface(name: str) -> socket.socket:
    """A socket whose multicast leaves by this interface.

    Raises:
        OSError: There is no such interface, or it takes no multicast.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        index = socket.if_nametoindex(name)
        chosen = struct.pack("=4s4si", bytes(4), bytes(4), index)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _TTL)
        udp.setblocking(False)
    except OSError:
        udp.close()
        raise
    return udp
