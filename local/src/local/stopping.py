"""Ctrl-C, SIGTERM and a closed terminal as one interruption."""

import signal
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_once() -> None:
    """Makes the first request to end a KeyboardInterrupt and ignores later ones.

    What follows is an orderly stop with deadlines; a second Ctrl-C would only break it.
    """
    for number in _NUMBERS:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
