"""Reading the header of a picture before any decoder may touch it."""

import struct
from dataclasses import dataclass

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


class UnreadableImageError(ValueError):
    """The bytes are no picture that may be decoded.

    Attributes:
        reason: empty, wrong_magic, truncated, zero_size, too_many_pixels or corrupt.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """Format and size as the header states them."""

    format: str
    """jpeg or png."""
    width: int
    """Pixels, at least 1."""
    height: int
    """Pixels, at least 1."""


def read_header(data: bytes, *, max_pixels: int) -> PictureHeader:
    """The header of a JPEG or PNG, in constant memory.

    Args:
        data: the whole file.
        max_pixels: width times height may not be more.

    Raises:
        UnreadableImageError: no JPEG or PNG, incomplete, without area, or too large.
    """
    if not data:
        raise UnreadableImageError("empty", "the picture has no bytes")
    if data.startswith(_PNG_MAGIC):
        header = _png(data)
    elif data.startswith(_JPEG_MAGIC):
        header = _jpeg(data)
    else:
        raise UnreadableImageError("wrong_magic", "the picture is neither JPEG nor PNG")
    if header.width == 0 or header.height == 0:
        raise UnreadableImageError("zero_size", f"the picture is {header.width} x {header.height}")
    if header.width * header.height > max_pixels:
        size = f"{header.width} x {header.height}"
        raise UnreadableImageError("too_many_pixels", f"{size} is more than {max_pixels} pixels")
    return header


def _png(data: bytes) -> PictureHeader:
    try:
        length, kind, width, height = struct.unpack_from(">I4sII", data, len(_PNG_MAGIC))
    except struct.error as error:
        raise _truncated() from error
    if kind != b"IHDR" or length != 13:
        raise UnreadableImageError("corrupt", "the PNG does not begin with its header")
    if data.rfind(_PNG_END) < 0:
        raise _truncated()
    return PictureHeader(format="png", width=width, height=height)


def _jpeg(data: bytes) -> PictureHeader:
    position, size = 2, None
    while True:
        marker, start = _next_marker(data, position)
        if marker in _JPEG_BARE:
            position = start
            continue
        length = _u16(data, start)
        if marker in _JPEG_FRAMES:
            size = _u16(data, start + 5), _u16(data, start + 3)
        if marker == _JPEG_SCAN:
            break
        position = start + max(length, 2)
    if size is None:
        raise UnreadableImageError("corrupt", "the JPEG has no frame header before its scan")
    if data.rfind(_JPEG_END) < start:
        raise _truncated()
    return PictureHeader(format="jpeg", width=size[0], height=size[1])


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at the position, and where its segment begins; fill bytes are skipped."""
    if position < len(data) and data[position] != 0xFF:
        raise UnreadableImageError("corrupt", f"the JPEG has no marker at byte {position}")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _truncated()
    return data[position], position + 1


def _u16(data: bytes, position: int) -> int:
    if position + 2 > len(data):
        raise _truncated()
    return data[position] << 8 | data[position + 1]


def _truncated() -> UnreadableImageError:
    return UnreadableImageError("truncated", "the picture ends before its end mark")
