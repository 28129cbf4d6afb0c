"""Engines tried in a process of their own: what is not chosen leaves no memory behind.

Two engines in one process cost 70 MB more than the one that is kept, and an engine that crashes on
a model takes the process with it.
"""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.candidates import candidates
from inference.choice import Candidate, trials
from inference.engine import Engine, EngineInfo, EngineOptions, Outputs, Tensor
from inference.measuring import Refusal, Trial
from mesh.clock import SystemClock

TIMEOUT_SECONDS = 120.0


_STEP = "trying "
_ANSWER = "answer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be tried."""

    engines: Sequence[str]
    """By the model's preference."""
    files: Mapping[str, Path]
    options: EngineOptions
    sample: Tensor
    """One item as the model will see it, shape (1, …)."""
    skipped: tuple[int, ...] = ()
    """Places of candidates that are not to be tried."""


def tried_apart(
    attempt: Attempt, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[list[Trial], list[Refusal]]:
    """Try the engines in a process that ends afterwards; one that ends or hangs it is left out.

    Args:
        attempt: what to try.
        timeout: of one process, seconds; there is one more for each engine that is left out.

    Returns:
        A trial per engine that worked, the reference first, and why the others did not.
    """
    left_out: dict[int, Refusal] = {}
    while True:
        said, ending = _run(replace(attempt, skipped=tuple(left_out)), timeout)
        answer, step = _last(said, _ANSWER), _last(said, _STEP)
        if answer is not None:
            refused = [Refusal(**each) for each in answer["refused"]]
            return [_trial(each) for each in answer["trials"]], [*left_out.values(), *refused]
        if step is None:
            return [], [*left_out.values(), Refusal(engine="all", reason=ending)]
        left_out[step["place"]] = Refusal(engine=step["engine"], reason=ending)


def _run(attempt: Attempt, timeout: float) -> tuple[list[str], str]:
    """What the process said, by lines, and how it ended."""
    command = [sys.executable, "-m", "inference.trials"]
    try:
        ended = subprocess.run(
            command, input=_packed(attempt), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        return _lines(error.stdout or b""), f"trying it took more than {timeout:g} s"
    reason = (_lines(ended.stderr) or [""])[-1]
    return _lines(ended.stdout), f"trying it ended with {ended.returncode}: {reason}"


def _lines(data: bytes) -> list[str]:
    return data.decode(errors="replace").strip().splitlines()


def _last(said: Sequence[str], kind: str) -> Any:
    """What the last line of a kind holds; none where there is no such line."""
    found = [line.removeprefix(kind) for line in said if line.startswith(kind)]
    return json.loads(found[-1]) if found else None


def main() -> None:
    """Answer the attempt on standard input by lines on standard output."""
    attempt = _unpacked(sys.stdin.buffer.read())
    sides = attempt.sample.shape[1:]
    named = [
        _told(place, candidate)
        for place, candidate in enumerate(
            candidates(attempt.engines, attempt.files, attempt.options, sides)
        )
        if place not in attempt.skipped
    ]
    done, refused = trials(named, attempt.sample, clock=SystemClock())
    _say(_ANSWER, {"trials": [asdict(t) for t in done], "refused": [asdict(r) for r in refused]})


def _say(kind: str, told: Any) -> None:
    sys.stdout.write(f"\n{kind}{json.dumps(told)}\n")
    sys.stdout.flush()


def _told(place: int, candidate: Candidate) -> Candidate:
    """The same candidate, which says so before each step that may end the process."""

    def say() -> None:
        _say(_STEP, {"place": place, "engine": candidate.name})

    def opened() -> Engine:
        say()
        return _Told(candidate.open(), say)

    return replace(candidate, open=opened)


class _Told:
    """An engine that says when it is used."""

    def __init__(self, engine: Engine, say: Callable[[], None]) -> None:
        self.info = engine.info
        self._engine = engine
        self._say = say

    def run(self, batch: Tensor) -> Outputs:
        """See `Engine.run`."""
        self._say()
        return self._engine.run(batch)

    def close(self) -> None:
        """See `Engine.close`."""
        self._say()
        self._engine.close()


def _packed(attempt: Attempt) -> bytes:
    head = {
        "engines": list(attempt.engines),
        "files": {name: str(path) for name, path in attempt.files.items()},
        "options": asdict(attempt.options),
        "skipped": list(attempt.skipped),
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
        skipped=tuple(told["skipped"]),
    )


def _trial(told: Mapping[str, Any]) -> Trial:
    return Trial(**{**told, "info": EngineInfo(**told["info"])})


if __name__ == "__main__":
    main()
