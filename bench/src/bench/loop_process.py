"""A loop under measurement in a process of its own, idle until it is asked.

It answers each number of frames on its input with a line of JSON.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from mesh.errors import ConfigurationError


class LoopProcess:
    """The process; a context manager.

    Args:
        arguments: of the Python that runs this.
        warm_up: frames that are run before anything is measured.
    """

    def __init__(self, arguments: Sequence[str], *, warm_up: int = 20) -> None:
        self._command = [sys.executable, *arguments]
        self._warm_up = warm_up

    def __enter__(self) -> Self:
        """Starts it and waits until it is warm.

        Raises:
            ConfigurationError: it cannot do its work.
        """
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.run(self._warm_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def run(self, frames: int) -> dict[str, Any]:
        """Figures of a run over so many frames.

        Raises:
            ConfigurationError: the process has ended; what it wrote to stderr says why.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the loop has no pipes")
        try:
            self._process.stdin.write(f"{frames}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # then there is no answer either
        line = self._process.stdout.readline()
        if not line:
            raise ConfigurationError(f"{' '.join(self._command[1:])} ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(run: Callable[[int], dict[str, Any]]) -> None:
    """Answer until the input ends; for the process itself, which prints nothing else."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(int(line))) + "\n")
        sys.stdout.flush()
