"""Pictures in the messages of a WebSocket: bytes, base64, data URLs, and JSON around them."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from camera.domain.camera_clock import moment_of
from camera.domain.jpeg import START

_IMAGES = ("image", "image_data", "frame_data", "frame", "data", "jpeg")
_TIMES = ("camera_timestamp", "captured_at", "timestamp", "time", "ts")


@dataclass(frozen=True, slots=True)
class Message:
    """What a message brings."""

    image: bytes
    taken: datetime | None = None
    """When the camera says that it was taken, UTC."""


def message_of(message: bytes | str) -> Message | None:
    """The picture of a message; nothing if it brings none, as a greeting does.

    Whether the picture is whole is not looked at.
    """
    if isinstance(message, bytes):
        if message.startswith(START):
            return Message(message)
        try:
            message = message.decode("ascii")
        except UnicodeDecodeError:
            return None
    text = message.strip()
    if text.startswith("{"):
        return _from_json(text)
    image = _from_base64(text)
    return None if image is None else Message(image)


def _from_json(text: str) -> Message | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for name in _IMAGES:
        value = said.get(name)
        image = _from_base64(value) if isinstance(value, str) else None
        if image is not None:
            moments = (moment_of(said[key]) for key in _TIMES if key in said)
            return Message(image, next(filter(None, moments), None))
    return None


def _from_base64(text: str) -> bytes | None:
    """The picture in base64, also of URLs, with or without `data:image/jpeg;base64,` before it."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        image = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return image if image.startswith(START) else None
