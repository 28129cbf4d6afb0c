"""Sample cameras: one video file served as RTSP streams that behave like real ones.

Runs as a program of its own under the system's Python, because GStreamer's bindings come with the
operating system. Imported from the workspace it only says whether that is possible, and how.
The video is cut into access units once and never encoded again. Every client gets a media of its
own: one that is shared cannot be had while its last client leaves (GStreamer answers 503).
"""

import argparse
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
_CODECS = ("h264", "h265")
_ELEMENTS = ("appsrc", "appsink", "parsebin", "h264parse", "rtph264pay")
_PROBE = f"""
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
lacking = [name for name in {_ELEMENTS!r} if Gst.ElementFactory.find(name) is None]
raise SystemExit("GStreamer lacks " + ", ".join(lacking) if lacking else 0)
"""
_PROBE_SECONDS = 120
"""At its first start GStreamer looks into each of its plugins."""
_SILENT_SECONDS = 60.0
_FREEZE_LIMIT_BYTES = 2_000_000
_MOST_TURNS = 20
_CLIENT_THREADS = 8
_BACKLOG = 128


def missing() -> str | None:
    """Why this machine cannot serve sample cameras, as a sentence; `None` if it can."""
    try:
        probe = subprocess.run(
            [SYSTEM_PYTHON, "-I", "-c", _PROBE],
            capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{SYSTEM_PYTHON} cannot be asked for GStreamer: {error}"
    if probe.returncode == 0:
        return None
    last = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
    return (
        f"no GStreamer RTSP server for {SYSTEM_PYTHON} ({last}); on Debian it is in "
        "gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-{base,good,bad}"
    )


def available() -> bool:
    """Whether this machine can serve sample cameras."""
    return missing() is None


def command(video: Path, port: int, cameras: int = 1, *options: str) -> Sequence[str]:
    """The command line that serves a video; it prints a line beginning with `ready` when it does.

    `-I` keeps the modules beside this file from standing in for the standard library's.
    """
    program = [SYSTEM_PYTHON, "-I", str(Path(__file__).resolve()), str(video)]
    return [*program, "--port", str(port), "--cameras", str(cameras), *options]


@dataclass(frozen=True)
class Clip:
    """A video as a loop of access units, each in Annex B form with its parameter sets in band."""

    codec: str
    fps: float
    units: "list[bytes]"
    keyframes: "list[int]"
    """Indices of the units where decoding can begin."""

    def entry(self, index: int) -> int:
        """The last keyframe at or before an index."""
        return max((at for at in self.keyframes if at <= index), default=self.keyframes[0])


@dataclass
class Projector:
    """Shows the clip to every connected stream at its own pace, for ever, unless frozen.

    Real cameras do not tick together: the streams take turns within the time of one frame.
    """

    clip: Clip
    gst: Any
    turns: int = 1
    frozen: bool = False
    _places: "dict[Any, tuple[int, int]]" = field(default_factory=dict)
    """Turn and next unit of each stream."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, start: int, turn: int, _factory: Any, media: Any) -> None:
        """Begins to feed the media that a client has asked for, at a keyframe, once it plays.

        What is pushed while it only gets its clock may be stamped with that clock's own time, for
        which the server would wait hours.
        """
        source = media.get_element().get_child_by_name("units")
        place = (turn % self.turns, self.clip.entry(start % len(self.clip.units)))
        source.connect("need-data", partial(self._begin, place))
        media.connect("unprepared", lambda _media: self._dismiss(source))

    def _begin(self, place: "tuple[int, int]", source: Any, _length: int) -> None:
        with self._lock:
            self._places[source] = place
        source.set_property("emit-signals", False)  # it need not ask again

    def _dismiss(self, source: Any) -> None:
        with self._lock:
            self._places.pop(source, None)

    def run(self) -> None:
        """Pushes units; a late turn is made up for, so that the pace holds on a busy machine."""
        due = time.monotonic()
        for turn in cycle(range(self.turns)):
            due = max(due + 1 / self.clip.fps / self.turns, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            if not self.frozen:
                self._show(turn)

    def _show(self, turn: int) -> None:
        with self._lock:
            shown = [(source, at) for source, (own, at) in self._places.items() if own == turn]
            for source, at in shown:
                self._places[source] = (turn, (at + 1) % len(self.clip.units))
        for source, at in shown:
            source.emit("push-buffer", self.gst.Buffer.new_wrapped(self.clip.units[at]))


@dataclass
class Door:
    """Counts the clients that have connected and are not shown anything yet.

    A client that has hung up again is none, though a busy server notices it much later.
    """

    most: int = 0
    """At once, since it was last asked."""
    _opening: "set[Any]" = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, _server: Any, client: Any) -> None:
        """A client has connected."""
        with self._lock:
            self._opening = {one for one in self._opening if _holds(one)} | {client}
            self.most = max(self.most, len(self._opening))
        client.connect("play-request", self._leave)
        client.connect("closed", self._leave)

    def tell(self) -> bool:
        """Prints how many there were at once, and begins to count anew."""
        with self._lock:
            _say(f"opening {self.most}")
            self.most = len(self._opening)
        return True

    def _leave(self, client: Any, _context: Any = None) -> None:
        with self._lock:
            self._opening.discard(client)


def _holds(client: Any) -> bool:
    """Whether a client has not closed its connection."""
    connection = client.get_connection()
    socket = None if connection is None else connection.get_read_socket()
    if socket is None or socket.is_closed():
        return False
    asked = select.poll()
    asked.register(socket.get_fd(), select.POLLRDHUP)
    return not asked.poll(0)


def split(gst: Any, video: str) -> Clip:
    """Reads the first video track of a file.

    Raises:
        ValueError: The file has neither H.264 nor H.265 video.
    """
    for codec in _CODECS:
        pipeline = gst.parse_launch(
            f"filesrc name=file ! parsebin name=tracks tracks. ! video/x-{codec} ! "
            f"{codec}parse config-interval=-1 ! "
            f"video/x-{codec},stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
        )
        pipeline.get_by_name("file").set_property("location", video)
        pipeline.set_state(gst.State.PLAYING)
        clip = _collect(gst, codec, pipeline)
        pipeline.set_state(gst.State.NULL)
        if clip.keyframes:
            return clip
    raise ValueError(f"{video}: no H.264 or H.265 video")


def _samples(gst: Any, pipeline: Any) -> "Iterator[Any]":
    """All access units up to the end, an error, or a minute in which nothing came."""
    sink, bus = pipeline.get_by_name("out"), pipeline.get_bus()
    over, last = False, time.monotonic()
    while True:
        sample = sink.emit("try-pull-sample", gst.SECOND // 10)
        if sample is not None:
            last = time.monotonic()
            yield sample
        elif over or time.monotonic() - last > _SILENT_SECONDS:
            return
        else:  # what came before it is still to be taken
            over = sink.get_property("eos") or bus.pop_filtered(gst.MessageType.ERROR) is not None


def _collect(gst: Any, codec: str, pipeline: Any) -> Clip:
    units: list[bytes] = []
    keyframes: list[int] = []
    fps = 25.0
    for sample in _samples(gst, pipeline):
        known, numerator, denominator = sample.get_caps().get_structure(0).get_fraction("framerate")
        if known and numerator and denominator:
            fps = numerator / denominator
        buffer = sample.get_buffer()
        if not buffer.has_flags(gst.BufferFlags.DELTA_UNIT):
            keyframes.append(len(units))
        units.append(buffer.extract_dup(0, buffer.get_size()))
    return Clip(codec, fps, units, keyframes)


def _protect(repository: Any, server: Any, arguments: argparse.Namespace) -> None:
    """Asks every client for name and password; others get 401."""
    rtsp = repository.GstRtspServer
    token = rtsp.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = rtsp.RTSPAuth()
    if arguments.auth == "digest":
        auth.set_supported_methods(repository.GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(arguments.user, arguments.password, token)
    else:
        auth.set_supported_methods(repository.GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(rtsp.RTSPAuth.make_basic(arguments.user, arguments.password), token)
    server.set_auth(auth)


def _mount(repository: Any, server: Any, projector: Projector, arguments: Any) -> None:
    """Adds /cam0, /cam1, …; each begins elsewhere in the clip."""
    codec, mounts = projector.clip.codec, server.get_mount_points()
    for number in range(arguments.cameras):
        factory = repository.GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            "( appsrc name=units is-live=true do-timestamp=true format=time block=false "
            f'max-bytes={_FREEZE_LIMIT_BYTES} caps="video/x-{codec},stream-format=byte-stream,'
            f'alignment=au" ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 )'
        )
        if arguments.auth != "none":
            role = "viewer,media.factory.access=(boolean)true,media.factory.construct=(boolean)true"
            factory.add_role_from_structure(repository.Gst.Structure.from_string(role)[0])
        start = number * len(projector.clip.units) // arguments.cameras
        factory.connect("media-configure", partial(projector.admit, start, number))
        mounts.add_factory(f"/cam{number}", factory)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Serve a video as live RTSP cameras, loopback only."
    )
    parser.add_argument("video")
    parser.add_argument("--port", type=int, default=8554, help="0 takes any free one")
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--fps", type=float, help="instead of the file's own")
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--user", default="viewer")
    parser.add_argument("--password", default="")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _repository() -> Any:
    """GStreamer's modules; they belong to the system's Python and are absent elsewhere."""
    versions = import_module("gi")
    names = ("Gst", "GstRtsp", "GstRtspServer")
    for name in names:
        versions.require_version(name, "1.0")
    modules = {name: import_module(f"gi.repository.{name}") for name in (*names, "GLib")}
    modules["Gst"].init(None)
    return SimpleNamespace(**modules)


def _toggle(projector: Projector) -> bool:
    projector.frozen = not projector.frozen
    _say("frozen" if projector.frozen else "thawed")
    return True


def main() -> int:
    """Serves until SIGTERM or SIGINT; SIGUSR1 freezes and thaws every camera.

    SIGUSR2 asks how many clients at once had connected and were not shown anything yet.
    """
    arguments = _arguments()
    repository = _repository()
    try:
        clip = split(repository.Gst, arguments.video)
    except ValueError as error:
        _say(f"error: {error}")
        return 2
    if arguments.fps:
        clip = Clip(clip.codec, arguments.fps, clip.units, clip.keyframes)
    projector = Projector(clip, repository.Gst, turns=min(arguments.cameras, _MOST_TURNS))
    server, door = repository.GstRtspServer.RTSPServer(), Door()
    server.set_address("127.0.0.1")
    server.set_service(str(arguments.port))
    server.set_backlog(_BACKLOG)
    server.get_thread_pool().set_max_threads(_CLIENT_THREADS)
    server.connect("client-connected", door.enter)
    if arguments.auth != "none":
        _protect(repository, server, arguments)
    _mount(repository, server, projector, arguments)
    if server.attach(None) == 0:
        _say(f"error: port {arguments.port} is taken")
        return 3
    threading.Thread(target=projector.run, daemon=True).start()
    loop = repository.GLib.MainLoop()
    for number in (signal.SIGINT, signal.SIGTERM):
        repository.GLib.unix_signal_add(repository.GLib.PRIORITY_DEFAULT, number, loop.quit)
    asked = repository.GLib.unix_signal_add
    asked(repository.GLib.PRIORITY_DEFAULT, signal.SIGUSR1, _toggle, projector)
    asked(repository.GLib.PRIORITY_DEFAULT, signal.SIGUSR2, door.tell)
    port = server.get_bound_port()
    _say(f"ready rtsp://127.0.0.1:{port}/cam0 cameras={arguments.cameras} fps={clip.fps:g}")
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
