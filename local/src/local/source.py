"""The demo's camera: the sample, the user's own clip or the user's own camera."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from local import rtsp
from local.download import Report
from local.network import LOOPBACK, answers
from local.process import ProcessSpec
from mesh.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A camera to register, and the process that plays it, if there is one.

    Args:
        name: The camera's name.
        stream: Its `stream_config`.
        fps: The source's own frames per second, if known.
        process: What serves it.
    """

    name: str
    stream: Mapping[str, Any]
    fps: float = 30.0
    process: ProcessSpec | None = None


def of_camera(url: str) -> Source:
    """The user's own camera.

    Args:
        url: `rtsp://[user:password@]host[:port]/path`; the password goes into its own field,
            which is kept encrypted.

    Raises:
        ConfigurationError: It is not the address of an RTSP camera.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        raise ConfigurationError("CAMERA must look like rtsp://user:password@host:554/path")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    stream: dict[str, Any] = {"stream_type": "RTSP", "rtsp_url": urlunsplit(bare)}
    if parts.username:
        stream["username"] = unquote(parts.username)
        stream["password"] = unquote(parts.password or "")
    return Source(name=parts.hostname, stream=stream)


def of_clip(clip: Path) -> Source:
    """The user's own video, played in a loop.

    Raises:
        ConfigurationError: There is no such file.
    """
    path = clip.expanduser().resolve()
    if not path.is_file():
        raise ConfigurationError(f"VIDEO: there is no file {path}")
    return Source(name=path.stem, stream=_file(path))


def of_sample(video: Path, fps: float, port: int, report: Report) -> Source:
    """The sample video: as an RTSP camera where GStreamer is there, else as a file.

    Args:
        video: The sample video.
        fps: Its frames per second.
        port: Where it is served.
        report: Takes progress lines.
    """
    lacking = rtsp.missing()
    if lacking is not None:
        report(f"The sample is played from its file: {lacking}")
        return Source(name="Sample camera", stream=_file(video), fps=fps)
    process = ProcessSpec(
        name="sample-camera",
        command=tuple(rtsp.command(video, port)),
        ready=lambda: answers(port),
        stop_within=5.0,
    )
    url = f"rtsp://{LOOPBACK}:{port}/cam0"
    stream = {"stream_type": "RTSP", "rtsp_url": url, "transport": "tcp"}
    return Source(name="Sample camera", stream=stream, fps=fps, process=process)


def _file(path: Path) -> dict[str, Any]:
    return {"stream_type": "FILE", "path": str(path)}
