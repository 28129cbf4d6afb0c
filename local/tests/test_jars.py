import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from local.jars import Pin, provide
from mesh.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("socket_enabled")

_JAR = "org/kafka/kafka.jar"
_TAR = "io/apicurio/registry-all.tar.gz"


class _Quiet(SimpleHTTPRequestHandler):
    @override
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def repository(tmp_path: Path, socket_enabled: None) -> Iterator[Path]:
    """A folder that is served as a Maven repository; its address is in `url`."""
    folder = tmp_path / "repository"
    for path, body in ((_JAR, b"jar"), (_TAR, _archive())):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(body)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    (folder / "url").write_text(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        entry = tarfile.TarInfo("quarkus-run.jar")
        entry.size = 3
        bundle.addfile(entry, io.BytesIO(b"run"))
    return buffer.getvalue()


def _pin(use: str, repository: Path, path: str) -> Pin:
    body = (repository / path).read_bytes()
    return Pin(use, path, hashlib.sha256(body).hexdigest(), len(body))


def test_jars_come_once_and_the_registry_unpacked(repository: Path, tmp_path: Path) -> None:
    pins = [_pin("broker", repository, _JAR), _pin("registry", repository, _TAR)]
    environ = {"SIGHTLINE_MAVEN_URL": (repository / "url").read_text()}
    said: list[str] = []
    jars = provide(tmp_path / "cache", report=said.append, environ=environ, pins=pins)
    assert [path.read_bytes() for path in jars.broker] == [b"jar"]
    assert (jars.registry / "quarkus-run.jar").read_bytes() == b"run"
    assert said[0].startswith("Java parts: 2 files")

    said.clear()
    nowhere = {"SIGHTLINE_MAVEN_URL": "http://127.0.0.1:9"}
    assert provide(tmp_path / "cache", report=said.append, environ=nowhere, pins=pins) == jars
    assert said == []


def test_a_damaged_jar_is_replaced(repository: Path, tmp_path: Path) -> None:
    pins = [_pin("broker", repository, _JAR), _pin("registry", repository, _TAR)]
    environ = {"SIGHTLINE_MAVEN_URL": (repository / "url").read_text()}
    jars = provide(tmp_path / "cache", report=print, environ=environ, pins=pins)
    jars.broker[0].write_bytes(b"bad")
    provide(tmp_path / "cache", report=print, environ=environ, pins=pins)
    assert jars.broker[0].read_bytes() == b"jar"


def test_another_jar_than_the_locked_one_is_refused(repository: Path, tmp_path: Path) -> None:
    pins = [_pin("broker", repository, _JAR), _pin("registry", repository, _TAR)]
    (repository / _JAR).write_bytes(b"xyz")
    environ = {"SIGHTLINE_MAVEN_URL": (repository / "url").read_text()}
    with pytest.raises(ConfigurationError, match=r"kafka\.jar: sha256"):
        provide(tmp_path / "cache", report=print, environ=environ, pins=pins)
