"""What librdkafka would wait for by the minute, done within a limit."""

import threading
from collections.abc import Callable

from mesh.errors import MeshError, TransientError


def within(seconds: float, action: Callable[[], None], doing: str) -> None:
    """Do it in a thread of its own, and wait for so long.

    Raises:
        TransientError: it was not done in time; it may still be, later.
        MeshError: it failed.
    """
    failures: list[MeshError] = []

    def act() -> None:
        try:
            action()
        except MeshError as error:
            failures.append(error)

    thread = threading.Thread(target=act, name=doing, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TransientError(f"{doing}: no answer for {seconds:.0f} s")
    for failure in failures:
        raise failure
