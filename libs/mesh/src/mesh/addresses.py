"""Where cameras may be: which addresses a stream may have, and networks nobody connects to.

Two questions, asked by the gateway when a camera is registered and by the camera service before
every connection: is the address one for this kind of stream at all (`endpoints`), and does its host
lead into a forbidden network (`AddressPolicy`)?
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self
from urllib.parse import urlsplit

from mesh.events import StreamConfig, StreamType

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Addresses of a host; blocks; raises `OSError` if there are none."""

CLOUD_METADATA = (
    "169.254.169.254, 169.254.170.2, 100.100.100.200, 192.0.0.192, 168.63.129.16, "
    "fd00:ec2::254, fd20:ce::254"
)
"""Where clouds hand credentials to whoever asks from inside."""
SCHEMES: Mapping[StreamType, Mapping[str, int]] = {
    StreamType.RTSP: {"rtsp": 554, "rtsps": 322},
    StreamType.HTTP_MJPEG: {"http": 80, "https": 443},
    StreamType.WEBSOCKET: {"ws": 80, "wss": 443},
}
"""What the url of a stream of this kind begins with, and the usual ports."""
_NAT64 = ip_network("64:ff9b::/96")
_WITHOUT_PREFIX = ip_network("::/96")
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_KNOWN_NAMES: Mapping[str, Sequence[Address]] = {
    "localhost": _LOOPBACK,
    "metadata.google.internal": (IPv4Address("169.254.169.254"),),
}
_NUMERIC = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_MOST_PORTS = 65535


class ForbiddenAddressError(Exception):
    """A host leads to an address that this installation must not connect to."""


class AddressError(ValueError):
    """A stream cannot have this address; the message names the field and no credentials.

    Args:
        field: Of `StreamConfig`: url, sub_url, host or port.
        why: The rest of the sentence after the field's name.
        allowed: What may stand there, for people.
        forbidden: Whether it is well-formed and leads where nobody may connect to.
    """

    def __init__(self, field: str, why: str, *, allowed: str, forbidden: bool = False) -> None:
        super().__init__(f"{field} {why}")
        self.field = field
        self.why = why
        self.allowed = allowed
        self.forbidden = forbidden


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host that a stream leads to, and the field that says so."""

    field: str
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Networks that must not be connected to."""

    forbidden: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, networks: str) -> Self:
        """Addresses and networks (CIDR), by commas; an empty text forbids nothing.

        Raises:
            ValueError: One of them is neither.
        """
        parts = filter(None, (each.strip() for each in networks.split(",")))
        return cls(tuple(ip_network(part) for part in parts))

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Refuses a host one of whose addresses, as the name service gave them, is forbidden.

        Connect to the very addresses that were checked, or the name may change its mind.

        Raises:
            ForbiddenAddressError: One of them is.
        """
        for text in addresses:
            self._check(host, ip_address(text.partition("%")[0]))

    def check_literal(self, host: str) -> None:
        """Refuses a host that names a forbidden address by itself, in any spelling; asks nobody.

        Raises:
            ForbiddenAddressError: It does.
        """
        for address in literal(host):
            self._check(host, address)

    def check_stream(self, stream: StreamConfig, resolve: Resolve | None = None) -> None:
        """Refuses a stream with an address that is malformed, not of its kind, or forbidden.

        Args:
            stream: How a camera is to be reached.
            resolve: Asks the name service, so that names are checked too; a name without an
                address is left to the camera service, which asks again before it connects.

        Raises:
            AddressError: Naming the field and what it may be.
        """
        for endpoint in endpoints(stream):
            try:
                self.check_literal(endpoint.host)
                if resolve is not None:
                    self.check(endpoint.host, _found(resolve, endpoint))
            except ForbiddenAddressError as error:
                raise AddressError(
                    endpoint.field,
                    f"is not allowed: {error}",
                    allowed="a host outside SIGHTLINE_FORBIDDEN_NETWORKS",
                    forbidden=True,
                ) from error

    def _check(self, host: str, address: Address) -> None:
        for form in {address, inner(address), *_unspecified(address)}:
            if any(form in network for network in self.forbidden):
                raise ForbiddenAddressError(
                    f"{host} leads to {form}, where this installation connects to nothing"
                )


def endpoints(stream: StreamConfig) -> Sequence[Endpoint]:
    """The hosts that a stream leads to; none for devices and files.

    Raises:
        AddressError: An address is missing, malformed, or not one for this kind of stream.
    """
    kind = stream.stream_type
    if kind is StreamType.USB:
        return ()
    if kind is StreamType.FILE:
        _check_path(stream.url)
        return ()
    if kind is StreamType.SOCKET:
        return (_socket_endpoint(stream),)
    found = [endpoint_of("url", stream.url, kind)]
    if stream.sub_url is not None:
        found.append(endpoint_of("sub_url", stream.sub_url, kind))
    return found


def endpoint_of(field: str, url: str | None, kind: StreamType) -> Endpoint:
    """Where a URL of this kind of stream leads to.

    Raises:
        AddressError: It is missing, malformed, or has a scheme of another kind.
    """
    schemes = SCHEMES[kind]
    allowed = " or ".join(f"{scheme}://host[:port]/path" for scheme in schemes)
    if not url:
        raise AddressError(field, f"is missing: a {kind} stream needs one", allowed=allowed)
    if not is_plain(url):
        why = "holds characters that no URL may hold unquoted"
        raise AddressError(field, why, allowed=allowed)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(field, "is malformed", allowed=allowed) from error
    if parts.scheme not in schemes:
        why = f"has the scheme {parts.scheme[:20]!r}, a {kind} stream begins with {_words(schemes)}"
        raise AddressError(field, why, allowed=allowed)
    if not host or port == 0:
        missing = "has no host" if not host else "has the port 0"
        raise AddressError(field, missing, allowed=allowed)
    return Endpoint(field, parts.scheme, host, port or schemes[parts.scheme])


def is_plain(url: str) -> bool:
    """Whether it has only characters that every program takes for the same part of an address."""
    return _PRINTABLE.fullmatch(url) is not None and "\\" not in url


def inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does; else the address."""
    if isinstance(address, IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    translated = address in _NAT64 or (address in _WITHOUT_PREFIX and int(address) > 1)
    if embedded is None and translated:
        embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
    return embedded or address


def literal(host: str) -> Sequence[Address]:
    """The addresses that a host names by itself, none for names that must be looked up.

    IPv4 addresses are read as the system's name service reads them: also decimal, octal,
    hexadecimal and with fewer than four parts.
    """
    host = host.strip("[]").partition("%")[0].rstrip(".").lower()
    known = _KNOWN_NAMES.get("localhost" if host.endswith(".localhost") else host)
    if known is not None:
        return known
    try:
        return (ip_address(host),)
    except ValueError:
        if not _NUMERIC.fullmatch(host):
            return ()
    try:
        return (IPv4Address(socket.inet_aton(host)),)
    except OSError:
        return ()


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system's name service knows them; blocks for seconds.

    Raises:
        OSError: It has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no name of a host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _found(resolve: Resolve, endpoint: Endpoint) -> Sequence[str]:
    try:
        return resolve(endpoint.host, endpoint.port)
    except OSError:
        return ()


def _unspecified(address: Address) -> Sequence[Address]:
    """Whoever connects to no address in particular reaches himself."""
    return _LOOPBACK if inner(address).is_unspecified else ()


def _socket_endpoint(stream: StreamConfig) -> Endpoint:
    if not stream.host or not _PRINTABLE.fullmatch(stream.host) or set(stream.host) & set("/\\@?#"):
        why = "must name the host of a SOCKET stream"
        raise AddressError("host", why, allowed="a name or an address")
    if stream.port is None or not 1 <= stream.port <= _MOST_PORTS:
        why = "must name the port of a SOCKET stream"
        raise AddressError("port", why, allowed=f"1 to {_MOST_PORTS}")
    return Endpoint("host", "tcp", stream.host.strip("[]"), stream.port)


def _check_path(url: str | None) -> None:
    allowed = "/path or file:///path"
    if not url:
        raise AddressError("url", "is missing: a FILE stream needs one", allowed=allowed)
    scheme = _SCHEME.match(url)
    if scheme is not None and not url.startswith("file:///"):
        why = f"has the scheme {scheme[1][:20]!r}, a FILE stream has a path or begins with file:///"
        raise AddressError("url", why, allowed=allowed)


def _words(schemes: Iterable[str]) -> str:
    return " or ".join(f"{scheme}://" for scheme in schemes)
