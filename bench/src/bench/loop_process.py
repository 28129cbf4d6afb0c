"""A loop under measurement in a process of its own, idle until it is asked.

It answers each number of frames on its input with a line of JSON.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Self

from typing_extensions import override

from bench.child import Child


class LoopProcess(Child):
    """The process; a context manager.

    Args:
        arguments: of the Python that runs this.
        warm_up: frames that are run before anything is measured.
    """

    def __init__(self, arguments: Sequence[str], *, warm_up: int = 20) -> None:
        super().__init__(arguments)
        self._warm_up = warm_up

    @override
    def __enter__(self) -> Self:
        """Starts it and waits until it is warm.

        Raises:
            ConfigurationError: it cannot do its work.
        """
        super().__enter__()
        self.run(self._warm_up)
        return self

    def run(self, frames: int) -> dict[str, Any]:
        """Figures of a run over so many frames.

        Raises:
            ConfigurationError: the process has ended; what it wrote to stderr says why.
        """
        self.tell(str(frames))
        answer: dict[str, Any] = json.loads(self.answer())
        return answer


def serve(run: Callable[[int], dict[str, Any]]) -> None:
    """Answer until the input ends; for the process itself, which prints nothing else."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(int(line))) + "\n")
        sys.stdout.flush()
