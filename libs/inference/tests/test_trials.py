"""Engines that are tried in a process of their own."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from libs.inference.tests import networks
from libs.inference.tests.test_choice import spec

from inference.choice import NoEngineError
from inference.engine import EngineOptions
from inference.measuring import Refusal
from inference.opening import open_engine
from inference.trials import Attempt, tried_apart

SAMPLE = np.ones((1, 3, 64, 64), np.float32)


def attempt(path: Path, **changes: object) -> Attempt:
    given = {
        "engines": ("onnxruntime", "openvino", "torch"),
        "files": {path.name: path},
        "options": EngineOptions(),
        "sample": SAMPLE,
    }
    return Attempt(**{**given, **changes})  # type: ignore[arg-type]


def test_engines_are_tried_apart_as_they_would_be_here(tmp_path: Path) -> None:
    done, refused = tried_apart(attempt(networks.honest(tmp_path)))
    assert [trial.info.engine for trial in done] == ["onnxruntime", "openvino"]
    assert all(trial.agrees and trial.seconds > 0 for trial in done)
    assert refused == []


def test_the_best_of_them_is_opened_here(tmp_path: Path) -> None:
    path = networks.honest(tmp_path)
    model = spec("onnxruntime", "openvino")
    engine, report = open_engine(
        model, {path.name: path}, SAMPLE, options=EngineOptions(), apart=True
    )
    assert engine.info == report.chosen
    assert len(report.trials) == 2
    assert engine.run(SAMPLE)["map"].shape == (1, 4, 64, 64)


def test_an_engine_that_refuses_the_sample_is_named(tmp_path: Path) -> None:
    path = networks.honest(tmp_path)
    done, refused = tried_apart(attempt(path, sample=np.ones((1, 2, 8, 8), np.float32)))
    assert done == []
    assert len(refused) == 2


def test_trials_without_an_answer_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = networks.honest(tmp_path)
    _, (slow,) = tried_apart(attempt(path), timeout=0.01)
    assert slow.reason == "trying it took more than 0.01 s"
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    done, refused = tried_apart(attempt(path))
    assert (done, refused) == ([], [Refusal(engine="all", reason="trying it ended with 1: ")])
    model, files = spec("onnxruntime", "openvino"), {path.name: path}
    with pytest.raises(NoEngineError, match="all: trying it ended with 1"):
        open_engine(model, files, SAMPLE, options=EngineOptions(), apart=True)


def instead_of_python(path: Path, *lines: str) -> str:
    """A program that stands for the interpreter."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o700)
    return str(path)


def test_an_engine_that_crashes_is_left_out_and_another_one_runs_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = instead_of_python(
        tmp_path / "crashing",
        f"#!{sys.executable}",
        "import os, signal",
        "from inference import candidates, trials",
        "candidates._onnxruntime = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)",
        "trials.main()",
    )
    monkeypatch.setattr(sys, "executable", program)
    path = networks.honest(tmp_path)
    model, files = spec("onnxruntime", "openvino"), {path.name: path}
    engine, report = open_engine(model, files, SAMPLE, options=EngineOptions(), apart=True)
    assert engine.info.engine == "openvino"
    (crashed,) = report.refused
    assert (crashed.engine, crashed.reason) == ("onnxruntime", "trying it ended with -11: ")


def test_an_engine_that_hangs_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = instead_of_python(
        tmp_path / "hanging",
        "#!/bin/sh",
        "read -r told",
        """case "$told" in *'"skipped": [0]'*) ;; *)""",
        """  echo 'trying {"place": 0, "engine": "onnxruntime"}'; exec sleep 60 ;; esac""",
        """echo 'answer {"trials": [], "refused": []}'""",
    )
    monkeypatch.setattr(sys, "executable", program)
    done, (hung,) = tried_apart(attempt(networks.honest(tmp_path)), timeout=3.0)
    assert done == []
    assert (hung.engine, hung.reason) == ("onnxruntime", "trying it took more than 3 s")
