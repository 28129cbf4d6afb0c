"""One suite for every kind of object store: a folder, and a real S3 server."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from local.pytest_fixtures import ObjectServer
from mesh.claims import ClaimChecks, ClaimError
from mesh.errors import TransientError
from mesh.events import Lane
from mesh.objects import ObjectFolder
from results.adapters.objects import ObjectStore
from results.domain.errors import AwayError

LARGE = bytes(range(256)) * 12_000


@dataclass(frozen=True)
class Store:
    """An object store that can be taken away."""

    url: str
    leave: Callable[[], object]
    come_back: Callable[[], object]


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "s3":
        server: ObjectServer = request.getfixturevalue("s3")
        url = f"{server.url}/{uuid4().hex}"
        yield Store(url=url, leave=server.stop, come_back=server.start)
        server.start()
    else:
        folder, elsewhere = tmp_path / "objects", tmp_path / "elsewhere"
        folder.mkdir()

        def leave() -> None:
            folder.rename(elsewhere)
            folder.write_bytes(b"no folder")

        def come_back() -> None:
            folder.unlink()
            elsewhere.rename(folder)

        yield Store(url=folder.as_uri(), leave=leave, come_back=come_back)


@pytest.fixture
def folder(store: Store) -> ObjectFolder:
    return ObjectFolder(store.url, "things")


def test_what_was_written_can_be_read_replaced_and_deleted(folder: ObjectFolder) -> None:
    assert folder.check() is None
    for data in (b"first", LARGE, b""):
        folder.write("a/b", data)
        assert folder.read("a/b") == data
    written = folder.modified_at("a/b")
    assert written is not None
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)
    folder.delete("a/b")
    folder.delete("a/b")
    assert folder.modified_at("a/b") is None
    with pytest.raises(KeyError):
        folder.read("a/b")


def test_folders_and_what_is_in_them_are_listed_and_removed(folder: ObjectFolder) -> None:
    assert (folder.folders(), folder.files("a")) == ([], [])
    for name in ("a/1", "a/2", "b/1", "b/c/1"):
        folder.write(name, b"x")
    assert sorted(set(folder.folders()) - {"incoming"}) == ["a", "b"]
    assert sorted(each.name for each in folder.files("a")) == ["a/1", "a/2"]
    assert (folder.folders("b"), [each.name for each in folder.files("b")]) == (["b/c"], ["b/1"])
    assert (folder.remove_folder("b"), folder.remove_folder("b")) == (2, 0)
    assert sorted(set(folder.folders()) - {"incoming"}) == ["a"]


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd"])
def test_nothing_outside_of_the_folder_is_reached(folder: ObjectFolder, name: str) -> None:
    with pytest.raises(KeyError):
        folder.read(name)
    with pytest.raises(KeyError):
        folder.write(name, b"x")


def test_many_threads_may_use_it(folder: ObjectFolder) -> None:
    def turn(number: int) -> bytes:
        while True:  # a busy server may be too late, and is asked again
            with suppress(TransientError):
                folder.write(f"t/{number}", LARGE[number:])
                return folder.read(f"t/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(turn, range(24))) == [LARGE[number:] for number in range(24)]


def test_a_store_that_is_away_says_so_and_keeps_what_it_had(
    store: Store, folder: ObjectFolder
) -> None:
    folder.write("a", LARGE)
    claims, pictures = ClaimChecks(store.url), ObjectStore(store.url)
    claim = claims.put(LARGE, Lane.LIVE, datetime.now(UTC))
    store.leave()
    for attempt in (
        lambda: folder.read("a"),
        lambda: folder.write("b", b"x"),
        folder.files,
        lambda: claims.load(claim),
    ):
        with pytest.raises(TransientError, match="object store is away"):
            attempt()
    assert "object store is away" in (folder.check() or "")
    with pytest.raises(AwayError) as error:
        pictures.read("0" * 64)
    assert error.value.dependency == "object_store"
    store.come_back()
    assert folder.check() is None
    assert claims.load(claim) == LARGE
    assert folder.read("a") == LARGE
    folder.write("b", b"x")


def test_face_pictures_are_found_by_their_digest(store: Store) -> None:
    pictures = ObjectStore(store.url)
    names = [hashlib.sha256(data).hexdigest() for data in (b"one", b"two")]
    for name, data in zip(names, (b"one", b"two"), strict=True):
        pictures.write(name, data)
    assert sorted(each.sha256 for each in pictures) == sorted(names)
    assert pictures.read(names[1]) == b"two"
    pictures.delete(names[0])
    assert [each.sha256 for each in pictures] == [names[1]]


def test_large_pictures_are_kept_as_long_as_their_records(store: Store) -> None:
    claims, now = ClaimChecks(store.url), datetime.now(UTC)
    old = claims.put(LARGE, Lane.LIVE, now - timedelta(hours=4))
    kept = claims.put(LARGE, Lane.EVIDENCE, now - timedelta(hours=4))
    assert (claims.expire(now), claims.expire(now)) == (1, 0)
    assert claims.load(kept) == LARGE
    with pytest.raises(ClaimError, match="gone"):
        claims.load(old)
