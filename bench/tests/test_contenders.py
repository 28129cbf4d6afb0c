from pathlib import Path

import pytest

from bench.contenders import applied_threshold
from bench.material import model_registry
from mesh.errors import ConfigurationError
from recognition.settings import RecognitionSettings

OWN = """
[models.mine]
task = "face-recognition"
name = "Mine"
version = "1"
engines = ["onnxruntime"]
licence = "MIT"
commercial = true
embedding_size = 128
alignment = "arcface-112"
input = { width = 112, height = 112, colour = "RGB" }
thresholds = { "0.01" = 0.25, "0.001" = 0.35 }
files = [{ name = "mine.onnx" }]
"""


def test_a_model_is_judged_at_what_recognition_applies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(tmp_path / "own.toml"))
    registry, settings = model_registry(), RecognitionSettings.load()

    for model_id in ("omz-face-reid-0095", "mobilefacenet-ms1m", "dlib-resnet-v1", "mine"):
        judged = applied_threshold(registry.model(model_id))
        assert judged == settings.matching(model_id).calibration.threshold(1)


def test_a_model_that_recognition_refuses_has_no_threshold() -> None:
    assert applied_threshold(model_registry({}).model("sface-2021dec")) is None


def test_models_of_the_users_own_are_known_where_their_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)

    found = model_registry({"SIGHTLINE_MODEL_REGISTRY": str(tmp_path / "own.toml")})

    assert found.model("mine").name == "Mine"
    assert found.model("omz-face-reid-0095")
    with pytest.raises(ConfigurationError):
        model_registry({}).model("mine")
