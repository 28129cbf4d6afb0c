import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local.download import fetch, megabytes, sha256_of
from local.jars import committed_lock, parse_lock
from mesh.errors import ConfigurationError, TransientError

_BODY = bytes(range(256)) * 4_000
_DIGEST = hashlib.sha256(_BODY).hexdigest()


class _Origin:
    """Serves one body; cuts the connection after so many bytes of the first answers."""

    def __init__(self, cuts: tuple[int, ...] = (), *, ranges: bool = True) -> None:
        self.asked: list[str] = []
        self._cuts = list(cuts)
        self._ranges = ranges

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        wanted = request.headers.get("range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self._ranges else 0
        cut = self._cuts.pop(0) if self._cuts else len(_BODY)
        return httpx2.Response(206 if start else 200, content=self._stream(start, cut))

    def _stream(self, start: int, cut: int) -> Iterator[bytes]:
        yield _BODY[start : start + cut]
        if start + cut < len(_BODY):
            raise httpx2.ReadError("connection lost")


def _fetch(origin: _Origin, target: Path, digest: str = _DIGEST) -> list[str]:
    said: list[str] = []
    with httpx2.Client(transport=httpx2.MockTransport(origin)) as http:
        url = "http://origin/file.jar"
        fetch(http, url, target, sha256=digest, size=len(_BODY), report=said.append)
    return said


def test_a_download_arrives_whole_and_is_not_repeated(tmp_path: Path) -> None:
    origin = _Origin()
    _fetch(origin, tmp_path / "a" / "file.jar")
    _fetch(origin, tmp_path / "a" / "file.jar")
    assert sha256_of(tmp_path / "a" / "file.jar") == _DIGEST
    assert origin.asked == [""]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file.jar"]


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    origin = _Origin(cuts=(300_000, 300_000))
    said = _fetch(origin, tmp_path / "file.jar")
    assert origin.asked == ["", "bytes=300000-", "bytes=600000-"]
    assert "  resuming file.jar at 0.3 MB of 1.0 MB" in said


def test_a_server_without_ranges_starts_again(tmp_path: Path) -> None:
    _fetch(_Origin(cuts=(300_000,), ranges=False), tmp_path / "file.jar")
    assert sha256_of(tmp_path / "file.jar") == _DIGEST


def test_a_download_that_keeps_failing_stays_for_the_next_run(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="run again to resume"):
        _fetch(_Origin(cuts=(1_000,) * 9), tmp_path / "file.jar")
    assert (tmp_path / "file.jar.part").stat().st_size == 4_000


def test_another_file_than_the_pinned_one_is_refused_and_forgotten(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"file\.jar: sha256 .* expected 000"):
        _fetch(_Origin(), tmp_path / "file.jar", digest="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_lock_pins_broker_and_registry() -> None:
    pins = committed_lock()
    names = {pin.name for pin in pins}
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar"} <= names
    assert [pin.use for pin in pins].count("registry") == 1
    assert parse_lock("".join(f"{pin.line()}\n" for pin in pins)) == pins


@pytest.mark.parametrize(
    "line", ["broker a.jar", "broker a.jar abc 1", f"broker ../a.jar {_DIGEST} 1", "b a x y z"]
)
def test_an_unreadable_lock_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"jars\.lock"):
        parse_lock(f"# comment\n\n{line}\n")


def test_sizes_are_readable() -> None:
    assert (megabytes(3_800), megabytes(158_577_952)) == ("3.8 kB", "158.6 MB")
