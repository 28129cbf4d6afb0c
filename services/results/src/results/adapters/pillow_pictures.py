"""Pictures changed with Pillow."""

import io

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

_QUALITIES = (90, 80, 65, 50, 35)
_LYING = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""
_UNREADABLE = (
    OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError,
)  # fmt: skip


class PillowPictures:
    """Shrinks, scales and crops; sizes are checked by header before anything gets here."""

    def shrink(self, data: bytes, limit: int) -> bytes | None:
        """The same picture, same pixels, as a JPEG of at most `limit` bytes; `None` if it cannot.

        The orientation mark is kept, so that coordinates mean the same as before.

        Raises:
            ValueError: The picture cannot be decoded.
        """
        image, exif = _open(data)
        for quality in _QUALITIES:
            smaller = _jpeg(image, quality, exif)
            if len(smaller) <= limit:
                return smaller
        return None

    def scale(self, data: bytes, width: int) -> bytes:
        """The picture as a JPEG of at most this width, upright; never enlarged.

        Raises:
            ValueError: The picture cannot be decoded.
        """
        try:
            with Image.open(io.BytesIO(data)) as source:
                lies = source.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
                across, down = source.size[::-1] if lies else source.size
                if across <= width and source.format == "JPEG":
                    return data
                width = min(width, across)
                height = max(1, round(down * width / across))
                source.draft("RGB", (height, width) if lies else (width, height))
                upright = ImageOps.exif_transpose(source).convert("RGB")
                image = ImageOps.contain(upright, (width, height))
        except _UNREADABLE as error:
            raise ValueError(str(error)) from error
        return _jpeg(image, 80, b"")

    def crop(self, data: bytes, box: tuple[int, int, int, int]) -> bytes:
        """The part of the upright picture within x1, y1, x2, y2, as a JPEG.

        Raises:
            ValueError: The picture cannot be decoded.
        """
        image, exif = _open(data)
        image.info["exif"] = exif
        return _jpeg(ImageOps.exif_transpose(image).crop(box), 95, b"")


def _open(data: bytes) -> tuple[Image.Image, bytes]:
    try:
        with Image.open(io.BytesIO(data)) as source:
            exif = source.info.get("exif", b"")
            return source.convert("RGB"), exif
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def _jpeg(image: Image.Image, quality: int, exif: bytes) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, exif=exif, subsampling=0 if quality >= 90 else 2)
    return out.getvalue()
