from dataclasses import replace
from pathlib import Path

import pytest

from local.packs import demo_pack, describe
from local.services import SERVICE_NAMES
from local.settings import LocalSettings
from mesh.errors import ConfigurationError
from mesh.models import ModelFile, ModelRegistry, ModelStore


def test_what_a_makefile_leaves_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEMO_VIDEO", "DEMO_CAMERA", "MODELS_DIR", "MODEL_PACK"):
        monkeypatch.setenv(f"SIGHTLINE_{name}", "")
    settings = LocalSettings.load()
    assert (settings.demo_video, settings.demo_camera) == (None, None)
    assert (settings.models_dir, settings.model_pack) == (None, None)


def test_every_service_has_its_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_LOCAL_DETECTION", "2")
    assert LocalSettings.load().instances == dict.fromkeys(SERVICE_NAMES, 1) | {"detection": 2}


def test_a_setting_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_LOCAL_KEEPER", "2")
    with pytest.raises(ConfigurationError, match="SIGHTLINE_LOCAL_KEEPER"):
        LocalSettings.load()


def test_the_pack_that_people_were_enrolled_with_is_kept(tmp_path: Path) -> None:
    registry, store = ModelRegistry.load(), ModelStore(folder=None, cache=tmp_path)
    pack = demo_pack(wanted=None, enrolled="dlib", registry=registry, store=store, report=print)
    assert pack.name == "dlib"
    assert describe(pack, store) == [
        "model pack dlib",
        "  face-detection: dlib HOG with 5 landmarks 19 (dlib, CC0-1.0)",
        "  face-recognition: dlib face recognition ResNet 1 (dlib, CC0-1.0)",
    ]


def test_optional_models_at_hand_are_told_with_their_licence(tmp_path: Path) -> None:
    dlib = ModelRegistry.load().pack("dlib")
    (tmp_path / "eyes.onnx").write_bytes(b"weights")
    files = (ModelFile(name="eyes.onnx"),)
    eyes = replace(dlib.optional[0], name="Eyes", licence="mine", commercial=False, files=files)
    store = ModelStore(folder=tmp_path, cache=tmp_path)

    line = describe(replace(dlib, optional=(eyes,)), store)[-1]

    assert "Eyes" in line
    assert line.endswith("mine, not for commercial use), optional, at hand")


def test_an_unknown_pack_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none of .*dlib"):
        demo_pack(
            wanted="arcface",
            enrolled=None,
            registry=ModelRegistry.load(),
            store=ModelStore(folder=None, cache=tmp_path),
            report=print,
        )
