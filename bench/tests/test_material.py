from pathlib import Path

import pytest

from bench.material import CLIP, material
from mesh.errors import ConfigurationError


def folders(root: Path) -> dict[str, str]:
    (root / "videos").mkdir()
    (root / CLIP).write_bytes(b"")
    (root / "images/krasserm_lfw100").mkdir(parents=True)
    (root / "models").mkdir()
    return {"SIGHTLINE_DATA_DIR": str(root), "SIGHTLINE_MODELS_DIR": str(root / "models")}


def test_both_folders_are_taken_from_the_environment(tmp_path: Path) -> None:
    found = material(folders(tmp_path))

    assert found.clip == tmp_path / CLIP
    assert found.models == tmp_path / "models"


@pytest.mark.parametrize("missing", ["SIGHTLINE_DATA_DIR", "SIGHTLINE_MODELS_DIR"])
def test_a_missing_variable_is_named(tmp_path: Path, missing: str) -> None:
    environ = folders(tmp_path)
    del environ[missing]

    with pytest.raises(ConfigurationError, match=f"{missing} is not set"):
        material(environ)


def test_a_folder_without_the_clip_is_refused_by_its_name(tmp_path: Path) -> None:
    environ = folders(tmp_path) | {"SIGHTLINE_DATA_DIR": str(tmp_path / "models")}

    with pytest.raises(ConfigurationError, match=r"short_hamilton_clip\.mp4 does not exist"):
        material(environ)
