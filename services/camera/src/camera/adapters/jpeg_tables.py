"""JPEG as USB cameras send it: without the tables that everybody knows."""

from functools import cache

import numpy as np
import simplejpeg

_START, _SCAN, _TABLES = b"\xff\xd8", b"\xff\xda", b"\xff\xc4"


def with_tables(image: bytes) -> bytes:
    """The picture with the standard Huffman tables if it has none of its own.

    Motion JPEG may leave them out (AVI1); not every decoder then takes the standard ones.

    Args:
        image: A whole JPEG.
    """
    if image.find(_TABLES, 0, image.find(_SCAN)) >= 0:
        return image
    return image[: len(_START)] + _standard_tables() + image[len(_START) :]


@cache
def _standard_tables() -> bytes:
    """The segments with the tables of ITU T.81, annex K.3, as every plain coder writes them."""
    plain: bytes = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), dtype=np.uint8))
    tables, position = b"", len(_START)
    while (marker := plain[position : position + 2]) != _SCAN:
        end = position + 2 + int.from_bytes(plain[position + 2 : position + 4])
        if marker == _TABLES:
            tables += plain[position:end]
        position = end
    return tables
