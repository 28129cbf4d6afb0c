import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.doctor import Finding, examine, find_chromium
from local.layout import Layout
from local.network import LOOPBACK

# Ports are probed on the loopback interface.
pytestmark = pytest.mark.usefixtures("socket_enabled")


def _examine(root: Path, port: int, environ: Mapping[str, str]) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(Layout.at(root), port, environ)}


def test_a_healthy_machine_has_nothing_that_blocks(tmp_path: Path) -> None:
    found = _examine(tmp_path, 0, {"HTTPS_PROXY": "http://proxy"})
    assert not [finding.line() for finding in found.values() if finding.blocks]
    assert found["proxy"].found == "HTTPS_PROXY is obeyed"
    assert found["downloads"].found.startswith("46 of 46 jars to come")
    assert found["port"].line() == "ok    port       any free one"


def test_a_taken_port_blocks_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        port = int(server.getsockname()[1])
        line = _examine(tmp_path, port, {})["port"].line()
    assert line.startswith(f"FAIL  port       {port} is taken by ")
    assert line.endswith("-> end it, or set SIGHTLINE_GATEWAY_PORT")


def test_chromium_is_found_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_chromium({"SIGHTLINE_CHROMIUM": "/opt/chromium"}) == "/opt/chromium"
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_chromium({}) is None
