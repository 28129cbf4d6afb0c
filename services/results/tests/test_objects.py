"""Pictures are whole or absent, and named by their digest."""

import hashlib
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mesh.errors import ConfigurationError, TransientError
from results.adapters.objects import ObjectStore

DATA = b"a picture"
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path / 'objects'}")


def test_what_was_written_can_be_read_listed_and_deleted(store: ObjectStore) -> None:
    assert list(store) == []
    store.write(NAME, DATA)
    store.write(NAME, DATA)
    assert store.read(NAME) == DATA
    (found,) = store
    assert found.sha256 == NAME
    assert abs((datetime.now(UTC) - found.modified_at).total_seconds()) < 60
    assert store.modified_at(NAME) == found.modified_at
    store.delete(NAME)
    store.delete(NAME)
    assert store.modified_at(NAME) is None
    with pytest.raises(KeyError):
        store.read(NAME)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", NAME.upper(), NAME[:-1]])
def test_a_name_that_is_no_digest_is_never_a_path(store: ObjectStore, name: str) -> None:
    with pytest.raises(KeyError):
        store.read(name)


def test_a_store_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"not a folder")
    store = ObjectStore(f"file://{tmp_path / 'objects'}")
    with pytest.raises(TransientError, match="object store is away"):
        store.write(NAME, DATA)
    assert store.check() is not None


def test_a_picture_gets_its_place_by_a_rename_on_its_own_file_system(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    store.write(NAME, DATA)

    assert store.read(NAME) == DATA
    assert os.listdir(tmp_path / "objects" / "snapshots" / "incoming") == []  # noqa: PTH208


def test_a_picture_that_does_not_fit_leaves_nothing_behind(
    store: ObjectStore, tmp_path: Path
) -> None:
    blocked = tmp_path / "objects" / "snapshots" / NAME[:2] / NAME
    blocked.mkdir(parents=True)  # a rename onto a folder fails, as a write on a full disk does

    with pytest.raises(TransientError, match="object store is away"):
        store.write(NAME, DATA)

    assert os.listdir(tmp_path / "objects" / "snapshots" / "incoming") == []  # noqa: PTH208


def test_what_a_killed_writer_left_unfinished_is_swept_once_it_is_old(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.write(NAME, DATA)
    (tmp_path / "objects" / "snapshots" / "incoming" / "half").write_bytes(DATA[:3])
    now = datetime.now(UTC)

    assert store.sweep(now - timedelta(hours=1)) == 0
    assert store.sweep(now + timedelta(seconds=1)) == 1
    assert [found.sha256 for found in store] == [NAME]


def test_an_interrupted_write_leaves_no_picture(store: ObjectStore, tmp_path: Path) -> None:
    store.write(NAME, DATA)
    folder = tmp_path / "objects" / "snapshots" / NAME[:2]
    assert os.listdir(folder) == [NAME]  # noqa: PTH208 -- hidden files count too
    assert store.check() is None


def test_an_unknown_address_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_OBJECTS_URL"):
        ObjectStore("gopher://somewhere")
