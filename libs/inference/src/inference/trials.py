"""Engines tried in a process of their own: what is not chosen leaves no memory behind.

Two engines in one process cost 70 MB more than the one that is kept, and an engine that crashes on
a model takes the process with it.
"""

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.candidates import candidates
from inference.choice import Refusal, Trial, trials
from inference.engine import EngineInfo, EngineOptions, Tensor
from mesh.clock import SystemClock
from mesh.errors import ConfigurationError

TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be tried."""

    engines: Sequence[str]
    """By the model's preference."""
    files: Mapping[str, Path]
    options: EngineOptions
    sample: Tensor
    """One item as the model will see it, shape (1, …)."""


def tried_apart(
    attempt: Attempt, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[list[Trial], list[Refusal]]:
    """Try the engines in a process that ends afterwards.

    Args:
        attempt: what to try.
        timeout: of all of it, seconds.

    Returns:
        A trial per engine that worked, the reference first, and why the others did not.

    Raises:
        ConfigurationError: the process hung or ended without an answer.
    """
    command = [sys.executable, "-m", "inference.trials"]
    try:
        ended = subprocess.run(
            command, input=_packed(attempt), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"trying the engines took more than {timeout:g} s") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigurationError(f"trying the engines ended with {ended.returncode}: {said}")
    found = json.loads(ended.stdout.splitlines()[-1])
    return [_trial(each) for each in found["trials"]], [Refusal(**r) for r in found["refused"]]


def main() -> None:
    """Answer the attempt on standard input by one line on standard output."""
    attempt = _unpacked(sys.stdin.buffer.read())
    sides = attempt.sample.shape[1:]
    named = candidates(attempt.engines, attempt.files, attempt.options, sides)
    done, refused = trials(named, attempt.sample, clock=SystemClock())
    answer = {"trials": [asdict(t) for t in done], "refused": [asdict(r) for r in refused]}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _packed(attempt: Attempt) -> bytes:
    head = {
        "engines": list(attempt.engines),
        "files": {name: str(path) for name, path in attempt.files.items()},
        "options": asdict(attempt.options),
    }
    sample = io.BytesIO()
    np.save(sample, attempt.sample)
    return json.dumps(head).encode() + b"\n" + sample.getvalue()


def _unpacked(data: bytes) -> Attempt:
    head, _, sample = data.partition(b"\n")
    told: dict[str, Any] = json.loads(head)
    return Attempt(
        engines=told["engines"],
        files={name: Path(path) for name, path in told["files"].items()},
        options=EngineOptions(**told["options"]),
        sample=np.load(io.BytesIO(sample)),
    )


def _trial(told: Mapping[str, Any]) -> Trial:
    return Trial(**{**told, "info": EngineInfo(**told["info"])})


if __name__ == "__main__":
    main()
