"""What the first bytes of a picture say: format and size, read without decoding any pixel."""

import base64
import binascii
import struct
from dataclasses import dataclass

from results.domain.errors import ApiError, invalid

MAX_BYTES = 5 * 1024 * 1024
"""A pushed picture may have this many bytes (specification, 3.1.4)."""
MAX_PIXELS = 50_000_000
"""A pushed picture may have this many pixels: more is taken for a decompression bomb."""
FORMATS = ("jpeg", "png")

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """Format and size of a picture, by its header."""

    format: str
    """jpeg or png."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


def decode_base64(text: str, *, field: str) -> bytes:
    """The bytes of a picture; a `data:` prefix and line breaks are allowed.

    Raises:
        ApiError: The text is empty, too long, or no base64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split())
    if not text:
        raise invalid("IMAGE_MISSING", f"{field} holds no picture", field=field, limit="base64")
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise too_large(len(text) * 3 // 4, field=field)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"{field} is not valid base64: {error}"
        raise invalid("INVALID_BASE64", message, field=field, limit="base64 (RFC 4648)") from error


def too_large(size: int, *, field: str) -> ApiError:
    """The refusal of a picture with too many bytes."""
    message = f"{field} has {size} bytes; at most {MAX_BYTES}"
    return ApiError(413, "IMAGE_TOO_LARGE", message, field=field, limit=MAX_BYTES)


def check_picture(data: bytes, *, field: str, declared: str | None = None) -> PictureHeader:
    """The header of an acceptable picture.

    Args:
        data: The whole picture.
        field: The request's field that holds it.
        declared: The format that the client says it has.

    Raises:
        ApiError: The picture is missing, too large, of another format, truncated, empty or has
            too many pixels.
    """
    if not data:
        raise invalid("IMAGE_MISSING", f"{field} holds no picture", field=field, limit="base64")
    if len(data) > MAX_BYTES:
        raise too_large(len(data), field=field)
    header = _read(data, field)
    if declared is not None and declared != header.format:
        message = f"{field} is a {header.format} picture but {declared} was declared"
        raise invalid("IMAGE_FORMAT_MISMATCH", message, field=field, limit=header.format)
    if not header.width or not header.height:
        message = f"the picture is {header.width} x {header.height} pixels"
        raise invalid("IMAGE_EMPTY", message, field=field, limit="at least 1 x 1 pixels")
    if header.width * header.height > MAX_PIXELS:
        message = f"the picture is {header.width} x {header.height} pixels; at most {MAX_PIXELS}"
        raise invalid("IMAGE_TOO_MANY_PIXELS", message, field=field, limit=MAX_PIXELS)
    return header


def _read(data: bytes, field: str) -> PictureHeader:
    if data.startswith(_PNG_MAGIC):
        header = _png(data)
    elif data.startswith(_JPEG_MAGIC):
        header = _jpeg(data)
    else:
        message = f"{field} is neither a JPEG nor a PNG picture"
        raise invalid("IMAGE_FORMAT_UNSUPPORTED", message, field=field, limit=list(FORMATS))
    if header is None:
        message = f"{field} is a truncated or broken picture"
        raise invalid("IMAGE_UNREADABLE", message, field=field, limit="a whole JPEG or PNG")
    return header


def _png(data: bytes) -> PictureHeader | None:
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    if b"IEND" not in data[-64:]:
        return None
    return PictureHeader("png", width, height)


def _jpeg(data: bytes) -> PictureHeader | None:
    header: PictureHeader | None = None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker == _START_OF_SCAN:
            # Some cameras pad after the end; what counts is that the scan has one.
            return header if data.rfind(_JPEG_END) > at else None
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            header = PictureHeader("jpeg", width, height)
        at += 2 + max(length, 2)
    return None
