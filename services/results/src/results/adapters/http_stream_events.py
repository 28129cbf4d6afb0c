"""Streams as clients describe them become streams as they travel."""

from dataclasses import replace
from typing import Any

from mesh.credentials import PASSWORD
from mesh.events import StreamConfig, StreamType
from results.domain.cameras import STREAM_FIELDS, URL_FIELDS, Address, split_credentials
from results.domain.errors import invalid

_MASKS = ("encrypted_password", "********")
"""Texts that stand for a password without being one."""
_STREAM = "stream_config"
_EXTRAS = ("backend",)
_COPIED = (
    "transport", "codec", "fps", "device_id", "auth_type", "headers", "protocol", "host", "port",
    "loop", "timeout_seconds", "frozen_seconds", "hardware", "resolution", "pace",
)  # fmt: skip
_RENAMED = {"max_message_size": "max_message_bytes"}
_IF_GIVEN = ("ping_interval", "keepalive", "max_message_size")
"""Fields that have a value of their own where the client names none."""


def stream_event(stream: Any) -> tuple[StreamConfig, str | None, dict[str, Any]]:
    """A stream's configuration, its password in clear text, and what only clients read.

    Credentials within the address are taken out of it; fields of their own win.

    Raises:
        ApiError: The address cannot be read.
    """
    kind = StreamType(stream.stream_type)
    address = _address(stream, URL_FIELDS.get(kind))
    sub = _address(stream, STREAM_FIELDS["sub_url"])
    plain = {name: getattr(stream, name) for name in _COPIED if hasattr(stream, name)}
    named = {_RENAMED.get(name, name): getattr(stream, name, None) for name in _IF_GIVEN}
    delimiter = getattr(stream, "frame_delimiter", None)
    config = StreamConfig(
        stream_type=kind,
        url=address.url if address else None,
        sub_url=sub.url if sub else None,
        username=getattr(stream, "username", None) or (address.username if address else None),
        frame_delimiter=bytes.fromhex(delimiter.replace("\\x", "")) if delimiter else None,
        **plain,
    )
    config = replace(config, **{name: value for name, value in named.items() if value is not None})
    given = getattr(stream, "password", None)
    password = _chosen(None if given in _MASKS else given, address, sub)
    extras = {name: getattr(stream, name, None) for name in _EXTRAS}
    return config, password, {name: value for name, value in extras.items() if value is not None}


def _chosen(given: str | None, *addresses: Address | None) -> str | None:
    """The password that is given apart, else the one within the address.

    Raises:
        ApiError: The address holds a token, and a password is given too: only one can be stored.
    """
    found = _password(*addresses)
    if given and found not in (None, given) and any(each and each.is_token for each in addresses):
        field = f"{_STREAM}.password"
        message = "the address holds a token, and a camera can have only one secret"
        limit = f"left out, or {PASSWORD} in place of the token"
        raise invalid("CREDENTIALS_IN_URL", message, field=field, limit=limit)
    return given or found


def _password(address: Address | None, sub: Address | None) -> str | None:
    """The one that both streams of a camera have.

    Raises:
        ApiError: They have different ones.
    """
    found = {each.password for each in (address, sub) if each and each.password}
    if len(found) > 1:
        field = f"{_STREAM}.{STREAM_FIELDS['sub_url']}"
        message = f"{field} has another password; both streams are of one camera"
        raise invalid("CREDENTIALS_IN_URL", message, field=field, limit="the same password")
    return next(iter(found), None)


def _address(stream: Any, name: str | None) -> Address | None:
    text = getattr(stream, name, None) if name else None
    if text is None:
        return None
    if stream.stream_type == "FILE":
        return Address(text)
    return split_credentials(text, field=f"{_STREAM}.{name}")
