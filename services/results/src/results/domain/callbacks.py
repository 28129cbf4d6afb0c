"""Callbacks: where they may go, how they are signed, and when they are tried again."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mesh.addresses import Address, Network, inner
from results.domain.errors import ApiError, invalid

URL_FIELD = "client_context.callback_url"
TIMESTAMP_HEADER = "Sightline-Timestamp"
SIGNATURE_HEADER = "Sightline-Signature"
JOB_HEADER = "Idempotency-Key"
DELAYS = (timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
"""After the first, second and third failure; after the fourth it is a dead letter."""
_LIMIT = "http(s)://host[:port]/path at a public address"


class ForbiddenTargetError(Exception):
    """A callback must not go there."""


@dataclass(frozen=True, slots=True)
class Target:
    """A callback URL that was looked at."""

    url: str
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class CallbackPolicy:
    """Where callbacks may go: public addresses, and what an operator allows besides."""

    hosts: frozenset[str] = field(default_factory=frozenset)
    """Names that may resolve to anything."""
    networks: Sequence[Network] = ()
    """Addresses that are allowed although they are not public."""

    @classmethod
    def parse(cls, allowed: str) -> "CallbackPolicy":
        """Names, addresses and networks, by commas.

        Raises:
            ValueError: A network is malformed.
        """
        hosts: set[str] = set()
        networks: list[Network] = []
        for part in filter(None, (each.strip() for each in allowed.split(","))):
            if "/" in part or _literal(part) is not None:
                networks.append(ip_network(part))
            else:
                hosts.add(part.lower())
        return cls(frozenset(hosts), tuple(networks))

    def check_addresses(self, host: str, addresses: Sequence[str]) -> None:
        """Refuse a host that resolves to anything else than allowed addresses.

        Raises:
            ForbiddenTargetError: One of them is private, loopback, link-local or reserved.
        """
        if host.lower() in self.hosts:
            return
        for text in addresses:
            address = inner(ip_address(text.partition("%")[0]))
            if not self._allowed(address):
                raise ForbiddenTargetError(f"{host} leads to {address}, which is not public")

    def _allowed(self, address: Address) -> bool:
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not address.is_multicast


def parse_url(url: str) -> Target:
    """Take a callback URL apart.

    Raises:
        ApiError: 422; it is no address that a callback could be posted to.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise forbidden_url("INVALID_FORMAT", f"is malformed: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise forbidden_url("INVALID_FORMAT", f"has the scheme {parts.scheme[:20]!r}")
    if not host:
        raise forbidden_url("INVALID_FORMAT", "has no host")
    if parts.username is not None or parts.password is not None:
        raise forbidden_url("INVALID_FORMAT", "must not hold credentials")
    if any(ord(character) <= 0x20 or ord(character) > 0x7E for character in url):
        raise forbidden_url("INVALID_FORMAT", "holds characters outside printable ASCII")
    return Target(url, parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


def forbidden_url(code: str, why: str) -> ApiError:
    """The refusal of a callback URL."""
    return invalid(code, f"{URL_FIELD} {why}", field=URL_FIELD, limit=_LIMIT)


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """The signature over the time in seconds, a full stop, and the body, as its header says it."""
    signed = hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def retry_after(failures: int) -> timedelta | None:
    """When to try again after so many failures; nothing if it was the last time."""
    return DELAYS[failures - 1] if failures <= len(DELAYS) else None


def _literal(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
