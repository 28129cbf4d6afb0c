"""Engines that are tried in a process of their own."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from libs.inference.tests import networks
from libs.inference.tests.test_choice import spec

from inference.engine import EngineOptions
from inference.opening import open_engine
from inference.trials import Attempt, tried_apart
from mesh.errors import ConfigurationError

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


def test_a_trial_without_an_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = attempt(networks.honest(tmp_path))
    with pytest.raises(ConfigurationError, match=r"more than 0\.01 s"):
        tried_apart(tried, timeout=0.01)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ConfigurationError, match="ended with 1"):
        tried_apart(tried)
