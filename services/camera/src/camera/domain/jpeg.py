"""Where a JPEG picture ends, and how large it is, told from its markers alone."""

import re
from enum import Enum, auto

START = b"\xff\xd8"
"""What every picture begins with."""
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends entropy-coded data: a marker that is no restart, no stuffed zero and no filling."""
_FILLING = 0xFF
_TABLES_AMONG_FRAMES = {0xC4, 0xC8, 0xCC}
_LEAST_FRAME_HEADER = 8


class Progress(Enum):
    """What is known about a picture's end."""

    MORE = auto()
    """More bytes are needed."""
    WHOLE = auto()
    """The picture ends at `JpegWalk.position`."""
    BROKEN = auto()
    """No picture continues like this; what is at `JpegWalk.position` belongs to it no more."""


class JpegWalk:
    """Walks through one picture from segment to segment, as its bytes come.

    A segment is passed as a whole, so that the thumbnail inside one ends and begins nothing.
    """

    def __init__(self) -> None:
        self.position = 0
        """The first byte that was not passed yet."""
        self.width = 0
        """Pixels; 0 until it is known."""
        self.height = 0
        """Pixels; 0 until it is known."""
        self._begun = self._in_scan = self._has_scan = False

    def advance(self, data: bytes | bytearray) -> Progress:
        """Goes on through the picture's bytes.

        Args:
            data: All that came of the picture, from its first byte that was not forgotten.
        """
        while True:
            found = self._scan(data) if self._in_scan else self._segment(data)
            if found is not None:
                return found

    def forget(self, count: int) -> None:
        """So many bytes, all passed, are missing from the data from now on."""
        self.position -= count

    def _scan(self, data: bytes | bytearray) -> Progress | None:
        end = _AFTER_SCAN.search(data, self.position)
        if end is None:
            self.position = max(self.position, len(data) - 1)
            return Progress.MORE
        self.position, self._in_scan = end.start(), False
        return None

    def _segment(self, data: bytes | bytearray) -> Progress | None:
        head = data[self.position : self.position + 9]
        if len(head) < 2:
            return Progress.MORE
        if head[0] != _FILLING:
            return Progress.BROKEN
        marker = head[1]
        if marker == _FILLING:
            self.position += 1
            return None
        if not self._begun or marker in (0x00, 0x01, *range(0xD0, 0xDA)):
            return self._alone(marker)
        return self._with_length(marker, head)

    def _alone(self, marker: int) -> Progress | None:
        """A marker without a segment."""
        is_start = marker == START[1]
        if marker == 0x00 or is_start is self._begun:
            return Progress.BROKEN
        self.position += 2
        self._begun = True
        if marker != 0xD9:
            return None
        return Progress.WHOLE if self._has_scan else Progress.BROKEN

    def _with_length(self, marker: int, head: bytes | bytearray) -> Progress | None:
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _TABLES_AMONG_FRAMES
        if len(head) < (9 if is_frame else 4):
            return Progress.MORE
        length = int.from_bytes(head[2:4])
        if length < (_LEAST_FRAME_HEADER if is_frame else 2):
            return Progress.BROKEN
        if is_frame:
            self.height, self.width = int.from_bytes(head[5:7]), int.from_bytes(head[7:9])
        if marker == 0xDA:
            self._in_scan = self._has_scan = True
        if (is_frame or self._has_scan) and not (self.width and self.height):
            return Progress.BROKEN
        self.position += 2 + length
        return None


def whole_jpeg(data: bytes) -> tuple[bytes, int, int] | None:
    """A picture without what follows its end, its width and height; nothing if it is none."""
    walk = JpegWalk()
    if walk.advance(data) is not Progress.WHOLE:
        return None
    return data[: walk.position], walk.width, walk.height
