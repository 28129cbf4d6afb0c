"""FFmpeg's errors in our words."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import av

from camera.domain.life import ErrorCode
from camera.ports import SourceError

_CODES: Mapping[type[av.error.FFmpegError], ErrorCode] = {
    av.error.HTTPUnauthorizedError: ErrorCode.UNAUTHORIZED,
    av.error.HTTPForbiddenError: ErrorCode.UNAUTHORIZED,
    av.error.HTTPNotFoundError: ErrorCode.NOT_FOUND,
    av.error.FileNotFoundError: ErrorCode.NOT_FOUND,
    av.error.InvalidDataError: ErrorCode.UNSUPPORTED,
    av.error.LookupError: ErrorCode.UNSUPPORTED,
    av.error.ExitError: ErrorCode.TIMEOUT,
    av.error.TimeoutError: ErrorCode.TIMEOUT,
}


@contextmanager
def translated(failed: Callable[[av.error.FFmpegError], SourceError]) -> Iterator[None]:
    """Raises FFmpeg's errors as ours."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise failed(error) from None  # the original names the address with its password


def code_of(error: av.error.FFmpegError, otherwise: ErrorCode) -> ErrorCode:
    """What an error of FFmpeg means."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), otherwise)


def sentence(error: av.error.FFmpegError) -> str:
    """What FFmpeg says, without the address."""
    return error.strerror or type(error).__name__
