"""The model registry and store, against a real HTTP server."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from mesh.errors import ConfigurationError
from mesh.models import ModelFile, ModelRegistry, ModelSpec, ModelStore, Pack, choose_pack

CONTENT = bytes(range(256)) * 40


class Origin(BaseHTTPRequestHandler):
    """Serves CONTENT at any path, ranges included, and notes what was asked for."""

    ranges: list[str | None]
    content = CONTENT

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = self.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def origin(socket_enabled: None) -> Iterator[tuple[str, type[Origin]]]:
    handler = type("Handler", (Origin,), {"ranges": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{{repository}}/{{path}}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def a_model(*, content: bytes = CONTENT, path: str = "weights.bin") -> ModelSpec:
    file = ModelFile(
        name="weights.bin",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        repository="someone/weights",
        commit="abc",
        path=path,
    )
    return ModelSpec(
        model_id="a-model", task="face-detection", name="A", version="1", engine="onnxruntime",
        licence="MIT", commercial=True, files=(file,),
    )  # fmt: skip


def quiet(_: str) -> None:
    """Progress that nobody watches."""


def test_a_file_is_recognised_by_its_hash_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "other-name.onnx").write_bytes(CONTENT)

    found = ModelStore(folder=tmp_path, cache=tmp_path / "cache").locate(a_model())

    assert found == {"weights.bin": tmp_path / "deep" / "other-name.onnx"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"weights\.bin.*is missing.*SIGHTLINE_MODELS_DIR"):
        ModelStore(folder=tmp_path, cache=tmp_path).locate(a_model())


def test_an_altered_file_is_named_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x" + CONTENT[1:])

    with pytest.raises(ConfigurationError, match=r"weights\.bin is altered"):
        ModelStore(folder=tmp_path, cache=tmp_path / "cache").locate(a_model())


def test_a_missing_file_is_downloaded_and_verified(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    lines: list[str] = []
    store = ModelStore(folder=None, cache=tmp_path, origin=origin[0])

    store.fetch(a_model(), lines.append)

    assert store.locate(a_model())["weights.bin"].read_bytes() == CONTENT
    assert lines == ["weights.bin: 0.0 MB, MIT"]


def test_a_large_download_says_how_far_it_is(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    content = bytes(9 << 20)
    origin[1].content = content
    lines: list[str] = []

    ModelStore(folder=None, cache=tmp_path, origin=origin[0]).fetch(
        a_model(content=content), lines.append
    )

    assert lines[1:] == ["weights.bin: 33%", "weights.bin: 67%", "weights.bin: 100%"]


def test_a_file_may_have_an_address_of_its_own_and_a_folder(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    file = replace(a_model().files[0], name="large/weights.bin", origin=origin[0])
    model = replace(a_model(), files=(file,))
    store = ModelStore(folder=None, cache=tmp_path, origin="http://127.0.0.1:1/{path}")

    store.fetch(model, quiet)

    assert store.locate(model) == {"large/weights.bin": tmp_path / "large" / "weights.bin"}


def test_an_interrupted_download_is_resumed(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    model = a_model()
    (tmp_path / f"{model.files[0].sha256}.part").write_bytes(CONTENT[:1000])

    ModelStore(folder=None, cache=tmp_path, origin=origin[0]).fetch(model, quiet)

    assert (tmp_path / "weights.bin").read_bytes() == CONTENT
    assert origin[1].ranges == ["bytes=1000-"]


def test_a_download_with_a_wrong_hash_is_thrown_away(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    other = a_model(content=b"y" * len(CONTENT))

    with pytest.raises(ConfigurationError, match="has sha256"):
        ModelStore(folder=None, cache=tmp_path, origin=origin[0]).fetch(other, quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_longer_than_pinned_is_cut_off(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    shorter = a_model(content=CONTENT[:100])

    with pytest.raises(ConfigurationError, match="longer than the 100 bytes"):
        ModelStore(folder=None, cache=tmp_path, origin=origin[0]).fetch(shorter, quiet)


def test_the_first_pack_to_be_had_is_chosen(
    tmp_path: Path, origin: tuple[str, type[Origin]]
) -> None:
    gone, here = a_model(path="missing"), a_model()
    (tmp_path / "models").mkdir()
    registry = ModelRegistry(
        {}, {"best": Pack("best", gone, gone), "plain": Pack("plain", here, here)}
    )
    lines: list[str] = []

    pack = choose_pack(
        registry, ModelStore(folder=None, cache=tmp_path, origin=origin[0]), lines.append
    )

    assert pack.name == "plain"
    assert any("pack best cannot be had" in line and "404" in line for line in lines)


def test_no_pack_at_all_says_why_for_each(tmp_path: Path, origin: tuple[str, type[Origin]]) -> None:
    gone = a_model(path="missing")
    registry = ModelRegistry({}, {"best": Pack("best", gone, gone)})

    with pytest.raises(ConfigurationError, match="no model pack can be had: best: "):
        choose_pack(registry, ModelStore(folder=None, cache=tmp_path, origin=origin[0]), quiet)


def test_the_registry_file_is_complete() -> None:
    registry = ModelRegistry.load()

    assert [name for name, pack in registry.packs.items() if pack.automatic] == [
        "yunet-omz",
        "dlib",
    ]
    for model in registry.models.values():
        assert model.commercial == (model.accept is None)
        for file in model.files:
            assert len(file.sha256) == 64
            assert file.bytes
            assert not model.commercial or file.package or file.repository


def test_an_unknown_pack_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="none of yunet-omz, dlib"):
        ModelRegistry.load().pack("best")
