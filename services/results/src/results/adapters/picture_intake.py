"""Pushed pictures: checked, and made small enough to travel."""

import asyncio

from results.domain.errors import ApiError, invalid
from results.domain.frames import Picture
from results.domain.picture import INLINE_BYTES, check_picture
from results.ports import PictureEditor


async def accept_picture(
    editor: PictureEditor, data: bytes, *, field: str, declared: str | None = None
) -> Picture:
    """Check a pushed picture and make it small enough to travel.

    Raises:
        ApiError: It is missing, unreadable, too large, or not of the declared format.
    """
    header = check_picture(data, field=field, declared=declared)
    if len(data) <= INLINE_BYTES:
        return Picture(data=data, header=header)
    try:
        smaller = await asyncio.to_thread(editor.shrink, data, INLINE_BYTES)
    except ValueError as error:
        message = f"{field} cannot be decoded: {error}"
        raise invalid(
            "IMAGE_UNREADABLE", message, field=field, limit="a whole JPEG or PNG"
        ) from error
    if smaller is None:
        message = f"{field} does not fit {INLINE_BYTES} bytes even as a poor JPEG"
        raise ApiError(413, "IMAGE_TOO_LARGE", message, field=field, limit=INLINE_BYTES)
    return Picture(data=smaller, header=check_picture(smaller, field=field))
