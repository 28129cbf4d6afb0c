"""Gives memory that was freed back to the machine, so that a service stays as small as it is.

glibc keeps what becomes free between blocks that are still in use. With a thread for each of
several clients a service of ours kept up to 17 MB so, a little more every hour.
"""

import ctypes
import threading
from collections.abc import Callable

_EVERY_SECONDS = 60.0
_M_ARENA_MAX = -8
"""Of glibc's malloc.h; no module of Python's has it."""


def share_one_arena() -> None:
    """Let the threads of this process allocate from one arena; call it before they begin.

    glibc gives a thread an arena of its own, up to eight for each processor, and what one frees
    in its arena no other uses. For processes whose threads wait more than they allocate: where
    many native threads do at once, they would wait for each other.

    Does nothing where the C library has no `mallopt`, as musl.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(ctypes.c_int(_M_ARENA_MAX), ctypes.c_int(1))


def returning_freed_memory(stop: threading.Event, every: float = _EVERY_SECONDS) -> None:
    """Give back what is free, again and again, in a thread that ends with `stop`.

    Does nothing where the C library has no `malloc_trim` (it is glibc's own).

    Args:
        stop: ends it.
        every: seconds between two turns.
    """
    trim = trimmer()
    if trim is None:
        return

    def run() -> None:
        while not stop.wait(every):
            trim()

    threading.Thread(target=run, name="freed-memory", daemon=True).start()


def trimmer() -> Callable[[], None] | None:
    """`malloc_trim(0)` of the C library; nothing if it has none."""
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if found is None:
        return None

    def trim() -> None:
        found(ctypes.c_size_t(0))

    return trim
