import struct
from collections.abc import Sequence

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.jpeg import JpegWalk, Progress, whole_jpeg
from camera.domain.splitting import (
    BROKEN,
    GARBAGE,
    TOO_LARGE,
    LengthSplitter,
    MarkerSplitter,
    Splitter,
    is_garbage,
)

LIMIT = 64 * 1024


def a_jpeg(width: int = 48, height: int = 32, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    made: bytes = simplejpeg.encode_jpeg(pixels, quality=90)
    return made


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """The picture with another whole picture in its EXIF segment."""
    body = b"Exif\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]


SMALL = a_jpeg()
LARGE = a_jpeg(64, 48, seed=1)
EXIF = with_thumbnail(LARGE, SMALL)
FILLED = LARGE[:2] + b"\xff\xff" + LARGE[2:]
PICTURES = (SMALL, LARGE, EXIF, FILLED)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The data in pieces that end at these places."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def split(splitter: Splitter, pieces: Sequence[bytes]) -> list[bytes]:
    return [picture.jpeg for piece in pieces for picture in splitter.feed(piece)]


class TestWalk:
    @pytest.mark.parametrize(
        ("jpeg", "size"),
        [(SMALL, (48, 32)), (LARGE, (64, 48)), (EXIF, (64, 48)), (FILLED, (64, 48))],
    )
    def test_a_picture_ends_where_its_bytes_do(self, jpeg: bytes, size: tuple[int, int]) -> None:
        assert whole_jpeg(jpeg + b"\xff\xd8 more") == (jpeg, *size)

    def test_a_progressive_picture_is_walked_through_scan_by_scan(self) -> None:
        pillow = pytest.importorskip("PIL.Image")
        from io import BytesIO  # noqa: PLC0415 - only with Pillow

        file = BytesIO()
        pillow.fromarray(np.zeros((40, 56, 3), np.uint8)).save(file, "JPEG", progressive=True)
        assert whole_jpeg(file.getvalue()) == (file.getvalue(), 56, 40)

    @pytest.mark.parametrize(
        "data",
        [
            b"no picture",
            b"\xff\xd9",
            b"\xff\xd8\xff\xd9",
            b"\xff\xd8\xff\xd8",
            b"\xff\xd8\xff\x00\x00\x00",
            b"\xff\xd8\xff\xe0\x00\x01",
            b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x00\x10",
            b"\xff\xd8\xff\xc0\x00\x02\x08\x00\x10\x00\x10",
            b"\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
            b"\xff\xd8text",
        ],
    )
    def test_what_is_no_picture_is_broken(self, data: bytes) -> None:
        assert JpegWalk().advance(data) is Progress.BROKEN
        assert whole_jpeg(data) is None

    @given(st.integers(0, len(EXIF) - 1))
    def test_a_picture_without_its_end_is_not_whole(self, length: int) -> None:
        assert JpegWalk().advance(EXIF[:length]) is Progress.MORE


class TestMarkers:
    @given(
        st.lists(st.sampled_from(PICTURES), max_size=5),
        st.lists(st.sampled_from([b"", b"\r\n", b"\0" * 3, b"garbage\xff\x00"]), min_size=6),
        st.lists(st.integers(0, 30_000), max_size=12),
    )
    def test_any_cut_of_the_bytes_gives_the_same_pictures(
        self, pictures: list[bytes], between: list[bytes], places: list[int]
    ) -> None:
        data = b"".join(gap + jpeg for gap, jpeg in zip(between, [*pictures, b""], strict=False))
        splitter = MarkerSplitter(limit=LIMIT)
        assert split(splitter, cut(data, places)) == pictures
        assert not splitter.passed_over

    def test_byte_for_byte_is_a_cut_too(self) -> None:
        data = SMALL + EXIF + SMALL
        splitter = MarkerSplitter(limit=LIMIT)
        assert split(splitter, [bytes([each]) for each in data]) == [SMALL, EXIF, SMALL]

    @given(
        st.lists(
            st.sampled_from([*PICTURES, SMALL[:200], b"\xff\xd8\xff", b"\xff\xd9"]), max_size=6
        ),
        st.lists(st.binary(max_size=40), min_size=7),
        st.lists(st.integers(0, 30_000), max_size=12),
        st.sampled_from([None, b"--x"]),
        st.sampled_from([b"\xff\xd8\xff", b"\xff\xd8", b"##"]),
    )
    def test_whatever_comes_any_cut_gives_the_same(
        self,
        pieces: list[bytes],
        noise: list[bytes],
        places: list[int],
        resume: bytes | None,
        delimiter: bytes,
    ) -> None:
        mark = b"##" if delimiter == b"##" else b"--x\r\n\r\n"
        data = b"".join(
            gap + mark + piece for gap, piece in zip(noise, [*pieces, b""], strict=False)
        )
        whole, parts = (
            MarkerSplitter(limit=3000, delimiter=delimiter, resume=resume) for _ in range(2)
        )
        found = [picture for piece in cut(data, places) for picture in parts.feed(piece)]
        assert found == whole.feed(data)
        assert all(whole_jpeg(picture.jpeg) for picture in found)

    def test_the_delimiter_may_be_the_beginning_of_the_picture(self) -> None:
        splitter = MarkerSplitter(limit=LIMIT, delimiter=b"\xff\xd8\xff\xe0")
        assert split(splitter, [b"noise" + SMALL + LARGE]) == [SMALL, LARGE]

    def test_the_delimiter_may_stand_between_pictures(self) -> None:
        splitter = MarkerSplitter(limit=LIMIT, delimiter=b"[next]")
        assert split(splitter, [SMALL + b"[next]" + EXIF + b"[next]" + SMALL]) == [
            SMALL,
            EXIF,
            SMALL,
        ]
        assert not splitter.passed_over

    def test_a_picture_that_breaks_off_is_counted_and_the_next_one_is_taken(self) -> None:
        splitter = MarkerSplitter(limit=LIMIT)
        assert split(splitter, [LARGE[:900] + SMALL]) == [SMALL]
        assert splitter.passed_over == {BROKEN: 1}

    def test_after_a_broken_picture_its_thumbnail_is_not_taken_for_the_next(self) -> None:
        part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
        broken = EXIF[: len(SMALL) + 20]
        splitter = MarkerSplitter(limit=LIMIT, resume=b"--frame")
        pictures = split(splitter, [part + SMALL + part + broken + part + LARGE + part + SMALL])
        assert SMALL in pictures
        assert pictures[-1] == SMALL
        assert splitter.passed_over[BROKEN] >= 1
        assert len(pictures) + splitter.passed_over.total() <= 4

    def test_a_picture_that_is_too_large_is_passed_over_as_a_whole(self) -> None:
        splitter = MarkerSplitter(limit=len(EXIF) - 1)
        data = SMALL + EXIF + SMALL
        assert split(splitter, cut(data, range(0, len(data), 100))) == [SMALL, SMALL]
        assert splitter.passed_over == {TOO_LARGE: 1}
        assert split(splitter, [data]) == [SMALL, SMALL]
        assert splitter.passed_over == {TOO_LARGE: 2}

    def test_nothing_piles_up_while_no_picture_comes(self) -> None:
        splitter = MarkerSplitter(limit=LIMIT)
        for _ in range(200):
            assert not splitter.feed(b"x" * 10_000)
        assert len(splitter._data) < 20_000
        endless = MarkerSplitter(limit=LIMIT)
        endless.feed(SMALL[:-2])
        for _ in range(200):
            assert not endless.feed(b"x" * 10_000)
        assert len(endless._data) <= LIMIT

    def test_what_stood_before_a_picture_comes_with_it(self) -> None:
        (picture,) = MarkerSplitter(limit=LIMIT).feed(b"X-Timestamp: 1\r\n\r\n" + SMALL)
        assert picture.before == b"X-Timestamp: 1\r\n\r\n"
        assert is_garbage(picture.before, b"\xff\xd8")
        assert not is_garbage(b"\r\n[next]\0", b"[next]")


class TestLengths:
    @given(
        st.lists(st.sampled_from([*PICTURES, b""]), max_size=6),
        st.lists(st.integers(0, 30_000), max_size=12),
    )
    def test_any_cut_of_the_bytes_gives_the_same_pictures(
        self, pictures: list[bytes], places: list[int]
    ) -> None:
        data = b"".join(struct.pack(">I", len(jpeg)) + jpeg for jpeg in pictures)
        splitter = LengthSplitter(limit=LIMIT)
        assert split(splitter, cut(data, places)) == [jpeg for jpeg in pictures if jpeg]
        assert not splitter.passed_over

    @given(
        st.lists(st.one_of(st.sampled_from(PICTURES), st.binary(max_size=60)), max_size=8),
        st.lists(st.booleans(), min_size=8, max_size=8),
        st.lists(st.integers(0, 30_000), max_size=12),
    )
    def test_whatever_comes_any_cut_gives_the_same(
        self, pieces: list[bytes], prefixed: list[bool], places: list[int]
    ) -> None:
        data = b"".join(
            (struct.pack(">I", len(piece)) if has_prefix else b"") + piece
            for piece, has_prefix in zip(pieces, prefixed, strict=False)
        )
        whole, parts = LengthSplitter(limit=3000), LengthSplitter(limit=3000)
        found = [picture for piece in cut(data, places) for picture in parts.feed(piece)]
        assert found == whole.feed(data)
        assert parts.passed_over == whole.passed_over

    def test_after_garbage_the_next_picture_is_found(self) -> None:
        good = struct.pack(">I", len(SMALL)) + SMALL
        splitter = LengthSplitter(limit=LIMIT)
        data = b"HTTP/1.1 400 Bad Request\r\n\r\n" + good + good + b"\xff" * 9 + good
        assert split(splitter, [data]) == [SMALL] * 3
        assert splitter.passed_over == {GARBAGE: 2}

    def test_pictures_that_are_broken_or_too_large_are_counted(self) -> None:
        broken = struct.pack(">I", 100) + SMALL[:100]
        large = struct.pack(">I", LIMIT + 1) + b"\xff\xd8\xff" + bytes(LIMIT - 2)
        good = struct.pack(">I", len(SMALL)) + SMALL
        splitter = LengthSplitter(limit=LIMIT)
        assert split(splitter, [broken + good + large + good]) == [SMALL, SMALL]
        assert splitter.passed_over == {BROKEN: 1, TOO_LARGE: 1}
        assert not splitter._data
