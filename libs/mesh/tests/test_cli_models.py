"""`mesh models`, as an operator types it."""

import hashlib
from pathlib import Path

import pytest

from mesh.cli import main

CONTENT = b"weights"
OWN = """
[models.eyes]
task = "eye-state"
name = "Eyes"
version = "1"
engines = ["onnxruntime"]
licence = "AGPL-3.0"
commercial = false
accept = "AGPL-3.0"
files = [{{ name = "eyes.onnx", sha256 = "{sha256}" }}]

[packs.mine]
detector = "dlib-hog-5pt"
embedder = "dlib-resnet-v1"
eye_state = "eyes"
landmarks = []
head_pose = []
objects = []
liveness = []
age_gender = []
"""


@pytest.fixture
def eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model of the user's own, in the user's own pack."""
    registry = tmp_path / "own.toml"
    registry.write_text(OWN.format(sha256=hashlib.sha256(CONTENT).hexdigest()), encoding="utf-8")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "eyes.onnx").write_bytes(CONTENT)
    for name, value in {
        "MODEL_REGISTRY": registry,
        "MODEL_PACK": "mine",
        "MODELS_DIR": folder,
        "MODELS_CACHE": tmp_path / "cache",
        "ACCEPT_LICENCES": "AGPL-3.0",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", str(value))
    return folder / "eyes.onnx"


def test_a_list_tells_licence_and_whether_a_model_is_at_hand(
    eyes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["models", "list"])
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("eyes ")]
    assert row == ["eyes", "eye-state", "AGPL-3.0", "no", "at", "hand", "?"]
    assert any("buffalo_l" in line for line in lines)
    assert any(line.startswith("* pack mine: dlib-hog-5pt + dlib-resnet-v1") for line in lines)

    monkeypatch.setenv("SIGHTLINE_ACCEPT_LICENCES", "")
    main(["models", "list"])
    assert "at hand; accept AGPL-3.0" in capsys.readouterr().out
    eyes.write_bytes(b"other")
    main(["models", "list"])
    assert "ALTERED" in capsys.readouterr().out


def test_what_is_at_hand_is_verified(eyes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "verify"])
    assert "eyes: eyes.onnx is right" in capsys.readouterr().out

    eyes.write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"eyes\.onnx is altered"):
        main(["models", "verify"])


def test_what_is_missing_is_wrong_only_where_it_is_needed(
    eyes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes.unlink()
    main(["models", "verify"])
    for names in (["eyes"], ["mine"], ["dlib-hog-5pt", "eyes"]):
        with pytest.raises(SystemExit, match=r"eyes\.onnx is missing"):
            main(["models", "verify", *names])
    monkeypatch.setenv("SIGHTLINE_MODEL_PACK", "yunet-omz")
    with pytest.raises(SystemExit, match=r"yunet_2023mar_dynamic\.onnx .* is missing"):
        main(["models", "verify"])


def test_a_pull_says_where_the_files_are(eyes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull"])
    assert f"eyes: eyes.onnx is at {eyes}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="there is no model nobody"):
        main(["models", "pull", "nobody"])


def test_a_mirror_serves_a_machine_without_a_network(
    eyes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["models", "mirror", str(tmp_path / "usb")])
    assert (tmp_path / "usb" / "eyes" / "eyes.onnx").read_bytes() == CONTENT
    assert (tmp_path / "usb" / "dlib-hog-5pt").is_dir()

    monkeypatch.setenv("SIGHTLINE_MODELS_DIR", str(tmp_path / "usb"))
    main(["models", "verify", "eyes", "mine"])
