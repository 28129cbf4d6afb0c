"""What the header of a JPEG says, without decoding it."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, Huffman-coded."""
_SCAN, _EXIF, _ADOBE = 0xDA, 0xE1, 0xEE
_RGB = b"RGB"


def is_plain(data: bytes) -> bool:
    """Whether every JPEG decoder makes the same picture of it.

    That is: complete, 8 bits, three channels as YCbCr, nothing to be turned. Whatever else is
    there (greyscale, CMYK, RGB, a record of Exif, a lossless or cut file, or no JPEG at all) is
    read by some decoders in their own way, or refused.
    """
    if data[:2] != _START or data[-2:] != _END:
        return False
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if kind in _FRAMES:
            return _is_ycbcr(body)
        if length < 2 or kind == _SCAN or not _is_harmless(kind, body):
            return False
        at += 2 + length
    return False


def _is_ycbcr(frame: bytes) -> bool:
    """Of a frame header: precision, height, width, channels, then three bytes per channel."""
    if len(frame) < 15 or frame[0] != 8 or frame[5] != 3:
        return False
    names = bytes((frame[6], frame[9], frame[12]))
    return names != _RGB and any(frame[1:3]) and any(frame[3:5])


def _is_harmless(kind: int, body: bytes) -> bool:
    if kind == _EXIF:
        return not body.startswith(b"Exif")
    if kind == _ADOBE and body.startswith(b"Adobe"):
        return body[11:12] == b"\x01"  # YCbCr
    return not 0xC0 <= kind <= 0xCF or kind in {0xC4, 0xC8, 0xCC}
