"""What a look for cameras asks, and what may be told of what it found."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from camera.domain.redaction import redact
from mesh.credentials import PASSWORD
from mesh.events import FoundDevice, FoundStream

KINDS = ("onvif", "usb")
_LONGEST_WORDS = 200
_SCOPE = re.compile(r"onvif://www\.onvif\.org/(?P<kind>name|hardware)/(?P<value>.+)", re.IGNORECASE)
_PASSWORD = re.compile(r"(?P<name>pass(?:w(?:or)?d)?|pwd)=[^&_;/?#]+", re.IGNORECASE)
_NEIGHBOURS = {4: 24, 6: 64}
_CODECS = {"H264": "h264", "H265": "h265", "HEVC": "h265", "JPEG": "mjpeg", "MPEG4": "mpeg4"}
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for, and how."""

    kinds: tuple[str, ...] = KINDS
    hosts: tuple[str, ...] = ()
    """Asked besides those that answer for themselves: a name or an address, perhaps with a port."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """In clear text; never part of a message."""
    seconds: float
    """What is known by then is the answer."""

    def alike(self, other: "Search") -> bool:
        """Whether the same would be found."""
        return replace(self, seconds=0.0) == replace(other, seconds=0.0)


class SearchError(Exception):
    """Nothing could be looked for; the message names no credentials.

    Args:
        code: Why, for machines.
        message: Why, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look found, and which part of it could not be done."""

    devices: Sequence[FoundDevice] = ()
    problems: Sequence[SearchError] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a device was asked as, and where that led."""

    host: str
    """As people write it: a name, or the address."""
    address: str
    """The address that answered."""


def words(text: str | None) -> str | None:
    """What a device says of itself, short enough to be shown; nothing if it says nothing."""
    told = " ".join((text or "").split())
    return told[:_LONGEST_WORDS] or None


def scopes_told(scopes: Iterable[str]) -> dict[str, str]:
    """Name and hardware that a device tells in its scopes."""
    told: dict[str, str] = {}
    for scope in scopes:
        match = _SCOPE.fullmatch(scope)
        value = words(unquote(match["value"])) if match else None
        if match and value:
            told.setdefault(match["kind"].lower(), value)
    return told


def codec_of(encoding: str | None) -> str | None:
    """A codec as this installation calls it."""
    if not encoding:
        return None
    return _CODECS.get(encoding.strip().upper(), encoding.strip().lower()[:20])


def stream_url(told: str, asked: Asked, password: str | None = None) -> str:
    """The address of a stream as it can be reached and shown: without credentials.

    Where a password was within path or query, `{password}` stands, which connecting fills in.
    Devices behind a translating router, or with several addresses, tell hosts that nobody can
    reach. A host is believed if it is the one that answered or a neighbour of it, which happens
    where one device speaks for others.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(told.strip())
    told_host, port = parts.hostname or "", parts.port
    host = told_host if _believed(told_host, asked.address) else asked.host
    where = f"[{host}]" if ":" in host else host
    place = where if port is None else f"{where}:{port}"
    url = urlunsplit(parts._replace(netloc=place, fragment=""))
    return _without(_PASSWORD.sub(rf"\g<name>={PASSWORD}", redact(url)), password)


def service_url(told: str, asked: Asked, port: int | None = None) -> str:
    """The address of a device's service: always at the address that answered.

    Credentials are sent there, so nobody can lead them elsewhere.

    Args:
        told: What the device says.
        asked: Whom it was asked as.
        port: The port that it was asked at, which is trusted more than that of another host.

    Raises:
        ValueError: It is no address of a web service.
    """
    parts = urlsplit(told.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{told[:60]!r} is no address of a web service")
    own = parts.hostname == asked.address or port is None
    settled = parts.port if own else port
    host = f"[{asked.address}]" if ":" in asked.address else asked.address
    place = host if settled is None else f"{host}:{settled}"
    return urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))


def once(devices: Iterable[FoundDevice]) -> tuple[FoundDevice, ...]:
    """Every device once, by name of the device and then by address; the fullest account wins."""
    kept: dict[str, FoundDevice] = {}
    for device in devices:
        other = kept.get(device.identity)
        if other is None or _worth(device) > _worth(other):
            kept[device.identity] = device
    return tuple(sorted(kept.values(), key=lambda one: (one.kind, one.name or "", one.identity)))


def largest_first(streams: Iterable[FoundStream]) -> tuple[FoundStream, ...]:
    """Streams by their size, those of unknown size last."""
    size = lambda one: (one.width or 0) * (one.height or 0)  # noqa: E731 -- a key, used once
    return tuple(sorted(streams, key=size, reverse=True))


def split_host(text: str) -> tuple[str, int | None]:
    """A host and its port, if one was given.

    Raises:
        ValueError: It is no host, or the port is none.
    """
    if any(character in text for character in "/@?#\\ "):
        raise ValueError(f"{text[:60]!r} is neither a host nor host:port")
    if text.count(":") > 1 and not text.startswith("["):
        return str(ip_address(text)), None
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text[:60]!r} is neither a host nor host:port")
    return parts.hostname, parts.port


def _without(url: str, password: str | None) -> str:
    """The address with `{password}` where the password is a segment of the path or a value."""
    if not password:
        return url
    forms = "|".join(re.escape(form) for form in {password, quote(password, safe="")})
    return re.sub(rf"(?<=[/=])(?:{forms})(?=[/&_;?#]|$)", PASSWORD, url)


def _believed(told: str, answered: str) -> bool:
    if told == answered:
        return True
    one, other = _address(told), _address(answered)
    if one is None or other is None or one.version != other.version or _useless(one):
        return False
    near = ip_network((other, _NEIGHBOURS[other.version]), strict=False)
    return one in near or (one.is_global and other.is_global)


def _useless(address: Address) -> bool:
    return any(
        (
            address.is_unspecified, address.is_loopback, address.is_link_local,
            address.is_multicast, address.is_reserved,
        )
    )  # fmt: skip


def _address(text: str) -> Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _worth(device: FoundDevice) -> tuple[bool, int, bool]:
    return (device.error_code is None, len(device.streams), device.name is not None)
