"""The system's name service, for who cannot wait as long as it takes when it is away."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from mesh.addresses import Resolve


def within(seconds: float, resolve: Resolve) -> Resolve:
    """The same look-up, which has failed if it takes longer.

    Args:
        seconds: What a client can be kept waiting for it.
        resolve: Blocks until the name service answers.
    """

    def hurried(host: str, port: int) -> Sequence[str]:
        found: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                found.set_result(resolve(host, port))
            except OSError as error:
                found.set_exception(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            return found.result(seconds)
        except TimeoutError as error:
            raise OSError(f"the name service did not answer within {seconds:g} s") from error

    return hurried
