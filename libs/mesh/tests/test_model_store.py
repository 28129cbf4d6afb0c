"""Files that users supply, licences, drift, and mirrors."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.errors import ConfigurationError
from mesh.models import (
    AlteredFileError,
    MissingFileError,
    ModelFile,
    ModelSpec,
    ModelStore,
    Pack,
    mirror,
)

CONTENT = b"weights"
OTHER = b"WEIGHTS"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def a_model(**changes: object) -> ModelSpec:
    model = ModelSpec(
        model_id="yolo", task="face-detection", name="YOLO", version="8", engine="onnxruntime",
        licence="AGPL-3.0", commercial=False, files=(ModelFile(name="mine/yolo.onnx"),),
    )  # fmt: skip
    return replace(model, **changes)  # type: ignore[arg-type]  # a builder takes any field


class Place:
    """A folder with a user's file, and a cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "models" / "mine" / "yolo.onnx"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(CONTENT)

    def store(self, *accepted: str) -> ModelStore:
        """As a process that starts anew would make it."""
        return ModelStore(folder=self.root / "models", cache=self.root / "cache", accepted=accepted)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_of_the_users_own_is_pinned_at_its_first_use(place: Place) -> None:
    assert place.store().locate(a_model()) == {"mine/yolo.onnx": place.file}

    pins = (place.root / "cache" / "models.lock").read_text(encoding="utf-8")
    assert SHA256 in pins
    assert "yolo/mine/yolo.onnx" in pins
    (file,) = place.store().pinned(a_model()).files
    assert (file.sha256, file.bytes) == (SHA256, len(CONTENT))


def test_what_was_pinned_and_then_altered_is_refused(place: Place) -> None:
    place.store().locate(a_model())
    place.file.write_bytes(OTHER)

    with pytest.raises(AlteredFileError, match=rf"yolo\.onnx is altered.*not {SHA256}"):
        place.store().locate(a_model())


def test_looking_whether_a_file_is_there_pins_nothing(place: Place) -> None:
    assert place.store().has(a_model())
    place.file.write_bytes(OTHER)
    assert place.store().has(a_model())


def test_a_name_with_a_folder_is_looked_for_in_that_folder(place: Place) -> None:
    with pytest.raises(MissingFileError, match=r"other/yolo\.onnx is missing"):
        place.store().locate(a_model(files=(ModelFile(name="other/yolo.onnx"),)))


def test_two_different_files_of_the_users_own_name_are_refused(place: Place) -> None:
    second = place.root / "models" / "old" / "mine" / "yolo.onnx"
    second.parent.mkdir(parents=True)
    second.write_bytes(OTHER)

    with pytest.raises(AlteredFileError, match="more than once"):
        place.store().locate(a_model())
    second.write_bytes(CONTENT)
    assert place.store().has(a_model())


def test_a_pin_decides_between_files_of_one_name(place: Place) -> None:
    place.store().locate(a_model())
    second = place.root / "models" / "a" / "mine" / "yolo.onnx"
    second.parent.mkdir(parents=True)
    second.write_bytes(OTHER)

    assert place.store().locate(a_model()) == {"mine/yolo.onnx": place.file}


def test_a_damaged_lock_file_is_named(place: Place) -> None:
    (place.root / "cache").mkdir()
    for damage in ("{", "[]", '{"yolo": 1}'):
        (place.root / "cache" / "models.lock").write_text(damage, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=r"models\.lock is damaged"):
            place.store().locate(a_model())


def test_a_lock_file_that_cannot_be_written_is_named(place: Place) -> None:
    (place.root / "cache").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"cannot be pinned in .*models\.lock"):
        place.store().locate(a_model())


def test_a_licence_is_accepted_before_anything_is_used(place: Place) -> None:
    model = a_model(accept="AGPL-3.0")

    for refuse in (place.store().locate, lambda model: place.store().fetch(model, print)):
        with pytest.raises(ConfigurationError, match=r"AGPL-3\.0 to SIGHTLINE_ACCEPT_LICENCES"):
            refuse(model)
    assert not place.store().has(model)
    assert place.store().files(model)
    assert place.store("AGPL-3.0").locate(model)


def test_optional_models_are_those_at_hand_and_allowed(place: Place) -> None:
    here = a_model()
    absent = a_model(model_id="absent", files=(ModelFile(name="absent.onnx"),))
    asks = a_model(model_id="asks", accept="AGPL-3.0")
    pack = Pack("mine", here, here, (here, absent, asks))

    assert [model.model_id for model in place.store().optional(pack)] == ["yolo"]
    assert len(place.store("AGPL-3.0").optional(pack)) == 2
    assert len(pack.for_task("face-detection")) == 5


def test_an_altered_file_of_an_optional_model_is_not_taken_for_absent(place: Place) -> None:
    model = a_model(files=(ModelFile(name="mine/yolo.onnx", sha256="0" * 64),))
    pack = Pack("mine", model, model, (model,))

    with pytest.raises(AlteredFileError, match=r"yolo\.onnx is altered"):
        place.store().optional(pack)


def test_a_file_that_nobody_can_bring_is_said(place: Place) -> None:
    absent = a_model(files=(ModelFile(name="absent.onnx"),))
    with pytest.raises(ConfigurationError, match=r"absent\.onnx is yours to supply"):
        place.store().fetch(absent, print)


class TestDrift:
    def test_there_is_none_while_the_file_stays(self, place: Place) -> None:
        store = place.store()
        assert store.drift(a_model()) is None
        store.locate(a_model())
        assert store.drift("yolo") is None

    def test_a_file_that_is_written_anew_with_the_same_bytes_is_no_drift(
        self, place: Place
    ) -> None:
        store = place.store()
        store.locate(a_model())
        os.utime(place.file, (1, 1))
        assert store.drift("yolo") is None

    def test_other_bytes_of_the_same_size_are_noticed(self, place: Place) -> None:
        store = place.store()
        store.locate(a_model())
        place.file.write_bytes(OTHER)
        os.utime(place.file, (1, 1))
        drift = store.drift("yolo")
        assert drift is not None
        assert "yolo.onnx is altered" in drift
        place.file.write_bytes(CONTENT)
        assert store.drift("yolo") is None

    def test_a_file_that_is_gone_is_noticed(self, place: Place) -> None:
        store = place.store()
        store.locate(a_model())
        place.file.unlink()
        assert "cannot be read any more" in (store.drift("yolo") or "")


class TestMirror:
    def test_a_mirror_is_a_folder_that_a_store_can_use(self, place: Place) -> None:
        target = place.root / "usb"
        (copied,) = mirror(place.store(), a_model(), target)

        assert copied == target / "yolo" / "mine" / "yolo.onnx"
        offline = ModelStore(folder=target, cache=place.root / "elsewhere")
        assert offline.locate(a_model()) == {"mine/yolo.onnx": copied}

    def test_what_is_there_stays_and_what_is_wrong_is_replaced(self, place: Place) -> None:
        target = place.root / "usb"
        (copied,) = mirror(place.store(), a_model(), target)
        before = copied.stat().st_mtime_ns
        assert [*mirror(place.store(), a_model(), target)] == [copied]
        assert copied.stat().st_mtime_ns == before
        copied.write_bytes(OTHER)
        assert [*mirror(place.store(), a_model(), target)] == [copied]
        assert copied.read_bytes() == CONTENT

    def test_a_folder_that_cannot_be_written_is_named(self, place: Place) -> None:
        with pytest.raises(ConfigurationError, match=r"yolo\.onnx/yolo/mine"):
            next(mirror(place.store(), a_model(), place.file))
