"""Cameras of the registry: what they are called, and where they may lead to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mesh.addresses import AddressError, AddressPolicy, Resolve, is_plain
from mesh.credentials import (
    PASSWORD,
    holds_token,
    names_host,
    names_password,
    without_passwords,
)
from mesh.events import Camera, StreamConfig, StreamType
from results.domain.errors import invalid

URL_FIELDS = {
    StreamType.RTSP: "rtsp_url",
    StreamType.HTTP_MJPEG: "url",
    StreamType.WEBSOCKET: "ws_url",
    StreamType.FILE: "path",
}
"""What the specification calls the address of each stream type, 3.1."""
STREAM_FIELDS = {"sub_url": "sub_rtsp_url", "max_message_bytes": "max_message_size"}
"""What clients call a field of `StreamConfig`, where that is another name."""
_INSTEAD = f"{PASSWORD} in its place, and the password itself in password"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraEntry:
    """A camera of the registry."""

    camera: Camera
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Parts of the stream's configuration that only clients read, such as its backend."""


@dataclass(frozen=True, slots=True)
class Address:
    """A stream's address, its credentials taken out."""

    url: str
    username: str | None = None
    password: str | None = None
    is_token: bool = False
    """The password is one that no other may take the place of."""


def split_credentials(url: str, *, field: str) -> Address:
    """Take user name and password out of an address.

    A password or token in the query leaves `{password}` behind, which the camera service fills in.

    Raises:
        ApiError: It cannot be read, or holds passwords of which nobody knows which one it is.
    """
    limit = "scheme://host[:port]/path, with special characters quoted"
    if not is_plain(url):
        message = f"{field} holds characters that no URL may hold unquoted"
        raise invalid("INVALID_URL", message, field=field, limit=limit)
    try:
        parts = urlsplit(url)
        port = parts.port
        misplaced = names_host(url)
    except ValueError as error:
        # What is wrong with it may be a part of a password.
        raise invalid("INVALID_URL", f"{field} is malformed", field=field, limit=limit) from error
    if misplaced:
        message = f"{field} asks for credentials in place of its host"
        raise invalid("INVALID_URL", message, field=field, limit=f"{PASSWORD} in path or query")
    query, passwords = without_passwords(parts.query)
    if parts.password:
        passwords |= {unquote(parts.password)}
    if len(passwords) > 1:
        message = f"{field} holds several passwords"
        raise invalid("CREDENTIALS_IN_URL", message, field=field, limit=_INSTEAD)
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    place = host if port is None else f"{host}:{port}"
    clean = urlunsplit((parts.scheme, place, parts.path, query, ""))
    username = unquote(parts.username) if parts.username else None
    return Address(clean, username, next(iter(passwords), None), holds_token(parts.query))


def is_pushed(stream: StreamConfig) -> bool:
    """Whether clients push the pictures to a gateway, instead of being asked for them."""
    return stream.stream_type is StreamType.WEBSOCKET and stream.url is None


def check_camera(camera: Camera, policy: AddressPolicy, resolve: Resolve | None) -> None:
    """Refuse a camera that nobody could, or may, connect to; blocks on the name service.

    Args:
        camera: As it would be stored.
        policy: Where no camera may lead to.
        resolve: Asks the name service, if names are looked at.

    Raises:
        ApiError: 422, naming the field.
    """
    stream = camera.stream
    if stream.stream_type is StreamType.USB and camera.node is None:
        message = "a USB camera needs the name of the node that it hangs on (SIGHTLINE_NODE)"
        limit = "the node of a camera replica"
        raise invalid("MISSING_FIELD", message, field="node", limit=limit)
    if is_pushed(stream):
        return
    _check_password(stream)
    try:
        policy.check_stream(stream, resolve)
        if stream.sub_url is not None:
            _same_host(stream.url or "", stream.sub_url)
    except AddressError as error:
        name = URL_FIELDS.get(stream.stream_type) if error.field == "url" else None
        field = f"stream_config.{name or STREAM_FIELDS.get(error.field, error.field)}"
        code = "FORBIDDEN_ADDRESS" if error.forbidden else "INVALID_URL"
        raise invalid(code, f"{field} {error.why}", field=field, limit=error.allowed) from error


def _check_password(stream: StreamConfig) -> None:
    """Refuse an address with a place for a password that there is not."""
    if stream.stream_type is StreamType.FILE or stream.password_encrypted is not None:
        return
    if any(names_password(url) for url in (stream.url, stream.sub_url) if url):
        field = "stream_config.password"
        message = f"the address holds {PASSWORD}, so there must be one"
        raise invalid("MISSING_FIELD", message, field=field, limit="a password")


def _same_host(url: str, sub_url: str) -> None:
    if urlsplit(url).hostname != urlsplit(sub_url).hostname:
        why = "is at another host: both streams are of one camera and have one password"
        raise AddressError("sub_url", why, allowed="the host of rtsp_url")


def same_peer(one: StreamConfig, other: StreamConfig) -> bool:
    """Whether a password for one may be used for the other: same type, user, host and port."""

    def peer(stream: StreamConfig) -> tuple[object, ...]:
        place = urlsplit(stream.url).netloc if stream.url else f"{stream.host}:{stream.port}"
        return (stream.stream_type, stream.username, place)

    return peer(one) == peer(other)
