"""Pushed pictures, checked."""

from results.domain.frames import Picture
from results.domain.picture import check_picture


def accept_picture(data: bytes, *, field: str, declared: str | None = None) -> Picture:
    """Check a pushed picture by its header.

    Raises:
        ApiError: It is missing, unreadable, too large, or not of the declared format.
    """
    return Picture(data=data, header=check_picture(data, field=field, declared=declared))
