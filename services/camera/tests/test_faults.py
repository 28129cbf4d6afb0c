"""Everything that goes wrong with cameras, at once: real sources and stage, peers that misbehave.

Each story is a camera of its own that must come back by itself, with the right code on the way, and
with an account of every frame. They are lived through side by side, as most of them wait.
"""

import asyncio
import errno
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy as np
import pytest
from services.camera.tests.lab import LONGEST, NODE, Lab, Watched, a_lab
from services.camera.tests.scenes import (
    PASSWORD,
    USER,
    Scene,
    http_camera,
    socket_camera,
    websocket_camera,
)
from services.camera.tests.wires import Fault, LossyWire, Wire, opened

from camera.adapters.file_source import FileCameras
from camera.adapters.network import Network
from camera.adapters.rtsp_cameras import RtspCameras
from camera.adapters.sources import Maker, Sources
from camera.adapters.usb_source import UsbCameras, UsbInput
from local import rtsp
from mesh.addresses import AddressPolicy
from mesh.events import FrameCaptured, StreamConfig, StreamType
from mesh.testing import a_camera, a_detection_config

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WIRED = (StreamType.RTSP, StreamType.HTTP_MJPEG, StreamType.WEBSOCKET, StreamType.SOCKET)
GUARDED = {StreamType.HTTP_MJPEG: http_camera, StreamType.WEBSOCKET: websocket_camera}
PEERS = {
    StreamType.HTTP_MJPEG: http_camera,
    StreamType.WEBSOCKET: websocket_camera,
    StreamType.SOCKET: socket_camera,
}
SCHEMES = {StreamType.RTSP: "rtsp", StreamType.HTTP_MJPEG: "http", StreamType.WEBSOCKET: "ws"}
BROKEN = frozenset({"unreachable", "stream_ended"})
CODES = {
    Fault.KILLED: BROKEN,
    Fault.RESET: BROKEN,
    Fault.HALF_OPEN: frozenset({"frozen"}),
    Fault.GARBAGE: BROKEN | {"unsupported", "frozen", "timeout"},
    Fault.SLOW: BROKEN | {"timeout", "frozen"},
}
"""What may be said of it."""
SCENE = "testsrc2=size=160x96:rate=25"
STUCK_SECONDS = 10
"""How long the thread of a device that hangs is held."""
PATIENT = 20.0
"""Time-out where nothing may be called an error, seconds; elsewhere it is one."""
LOST = 0.3
AT_ONCE = 12
"""Stories lived through at a time: all at once starve each other, and time-outs of 1 s then end."""


@dataclass
class RtspServer:
    process: asyncio.subprocess.Process
    port: int

    def toggle(self) -> None:
        """Freezes or thaws it."""
        self.process.send_signal(signal.SIGUSR1)


@dataclass
class Devices:
    """Devices of this machine, for which lavfi stands in; what each gives when it is opened."""

    plugged: dict[str, list[str]] = field(default_factory=dict)
    """Graphs of lavfi by the name of the device: each once, the last for ever."""

    def address(self, node: Path) -> str:
        graphs = self.plugged.get(node.name)
        if graphs is None:
            raise av.error.FileNotFoundError(errno.ENOENT, "No such device")
        return graphs.pop(0) if len(graphs) > 1 else graphs[0]


@dataclass
class World:
    """The lab, and the cameras outside of it."""

    lab: Lab
    folder: Path
    clip: Path
    ports: Mapping[StreamType, int]
    """Of well-behaved cameras."""
    stack: AsyncExitStack
    devices: Devices
    addresses: Iterator[int] = field(default_factory=lambda: count(1))

    async def behind(self, wire: Wire, kind: StreamType, **changes: Any) -> Watched:
        """A camera behind a wire."""
        await self.stack.enter_async_context(opened(wire))
        scheme = SCHEMES.get(kind)
        stream = StreamConfig(
            stream_type=kind,
            url=f"{scheme}://{wire.host}:{wire.port}/cam0" if scheme else None,
            host=None if scheme else wire.host,
            port=None if scheme else wire.port,
            **{
                "transport": "tcp" if kind is StreamType.RTSP else None,
                "timeout_seconds": 1.0,
                **changes,
            },
        )
        return self.watch(stream)

    async def live(
        self, kind: StreamType, port: int | None = None, **changes: Any
    ) -> tuple[Wire, Watched]:
        """A camera that shows something."""
        wire = Wire(port or self.ports[kind], next(self.addresses))
        watched = await self.behind(wire, kind, **changes)
        await watched.becomes("connected")
        await watched.shows()
        return wire, watched

    def device(self, number: int, *graphs: str) -> Watched:
        """A device that is plugged in."""
        self.devices.plugged[f"video{number}"] = list(graphs)
        stream = StreamConfig(stream_type=StreamType.USB, device_id=number, timeout_seconds=1.0)
        return self.watch(stream, node=NODE)

    def watch(self, stream: StreamConfig, node: str | None = None) -> Watched:
        limit, camera_id = a_detection_config(fps_limit=10.0), f"cam_{uuid4()}"
        return self.lab.add(
            a_camera(camera_id=camera_id, stream=stream, detection=limit, node=node)
        )


Story = Callable[[World], Awaitable[Watched]]


async def is_broken(kind: StreamType, fault: Fault, world: World) -> Watched:
    wire, watched = await world.live(kind)
    await wire.inflict(fault)
    await watched.becomes("disconnected", *CODES[fault])
    if fault is Fault.SLOW:
        no_hand_is_shaken = kind is StreamType.SOCKET
        await watched.becomes("disconnected", "frozen" if no_hand_is_shaken else "timeout")
    await wire.heal()
    await watched.becomes("connected")
    await watched.shows()
    return watched


async def is_late(kind: StreamType, world: World) -> Watched:
    wire, watched = await world.live(kind, timeout_seconds=PATIENT)
    await wire.inflict(Fault.LATENCY)
    await watched.shows(6)
    assert not watched.errors()
    return watched


async def freezes(kind: StreamType, world: World) -> Watched:
    if kind is StreamType.RTSP:
        server = await world.stack.enter_async_context(rtsp_server(world.clip))
        port, toggle = server.port, server.toggle
    else:
        scene = Scene()
        port, toggle = await world.stack.enter_async_context(PEERS[kind](scene)), scene.toggle
    _, watched = await world.live(kind, port)
    toggle()
    await watched.becomes("disconnected", "frozen")
    toggle()
    await watched.becomes("connected")
    await watched.shows()
    return watched


async def changes_its_size(kind: StreamType, world: World) -> Watched:
    if kind is StreamType.RTSP:
        video = two_sizes(world.folder / "sizes.h264")
        server = await world.stack.enter_async_context(rtsp_server(video, "--fps", "10"))
        _, watched = await world.live(kind, server.port, timeout_seconds=PATIENT)
    else:
        scene = Scene()
        port = await world.stack.enter_async_context(PEERS[kind](scene))
        _, watched = await world.live(kind, port, timeout_seconds=PATIENT)
        scene.large = True
    await watched.shows(width=320)
    assert not watched.errors()
    return watched


async def refuses_the_password(kind: StreamType, world: World) -> Watched:
    if kind is StreamType.RTSP:
        secret = ("--auth", "digest", "--user", USER, "--password", PASSWORD)
        server = await world.stack.enter_async_context(rtsp_server(world.clip, *secret))
        port = server.port
    else:
        port = await world.stack.enter_async_context(GUARDED[kind](Scene(), guarded=True))
    wire = Wire(port, next(world.addresses))
    wrong = {"username": USER, "password_encrypted": b"wrong"}
    watched = await world.behind(wire, kind, timeout_seconds=PATIENT, **wrong)
    refused = await watched.becomes("disconnected", "unauthorized")
    again = await watched.becomes("connecting")
    assert again.occurred_at - refused.occurred_at >= LONGEST / 2
    right = replace(watched.camera.stream, password_encrypted=PASSWORD.encode())
    watched.change(replace(watched.camera, stream=right, revision=1))
    await watched.becomes("connected")
    await watched.shows()
    assert set(watched.errors()) == {"unauthorized"}
    return watched


async def loses_datagrams(world: World) -> Watched:
    wire = LossyWire(world.ports[StreamType.RTSP], next(world.addresses), LOST)
    watched = await world.behind(wire, StreamType.RTSP, transport="udp", timeout_seconds=PATIENT)
    await watched.becomes("connected")
    await watched.shows(10)
    assert wire.lost
    return watched


async def is_unplugged(world: World) -> Watched:
    """The device ends after its first second, and is away when it is looked for."""
    watched = world.device(0, f"{SCENE}:duration=1,realtime")
    await watched.becomes("connected")
    del world.devices.plugged["video0"]
    await watched.becomes("disconnected", "unreachable")
    await watched.becomes("disconnected", "unreachable")
    world.devices.plugged["video0"] = [f"{SCENE},realtime"]
    await watched.becomes("connected")
    await watched.shows()
    return watched


async def hangs(world: World) -> Watched:
    """The device gives nothing more after a second, and does when it is opened anew."""
    stuck = f"{SCENE},setpts='PTS+gte(N,25)*{STUCK_SECONDS}/TB',realtime=limit=1000"
    watched = world.device(1, stuck, f"{SCENE},realtime")
    await watched.becomes("connected")
    await watched.becomes("disconnected", "frozen")
    await watched.becomes("connected")
    await watched.shows()
    return watched


async def appears_later(world: World) -> Watched:
    path = world.folder / "later.mp4"
    watched = world.watch(StreamConfig(stream_type=StreamType.FILE, url=str(path)))
    await watched.becomes("disconnected", "not_found")
    path.write_bytes(b"no video" * 1000)
    await watched.becomes("disconnected", "unsupported")
    whole = world.folder / "whole.mp4"
    shutil.copy(world.clip, whole)
    whole.replace(path)
    await watched.becomes("connected")
    await watched.shows()
    return watched


STORIES: dict[str, Story] = {
    **{
        f"{kind} {fault.name.lower()}": partial(is_broken, kind, fault)
        for kind in WIRED
        for fault in CODES
    },
    **{f"{kind} latency": partial(is_late, kind) for kind in WIRED},
    **{f"{kind} freeze": partial(freezes, kind) for kind in WIRED},
    **{f"{kind} size": partial(changes_its_size, kind) for kind in WIRED},
    **{
        f"{kind} password": partial(refuses_the_password, kind)
        for kind in (StreamType.RTSP, *GUARDED)
    },
    "USB unplugged": is_unplugged,
    "USB hangs": hangs,
    "RTSP loss": loses_datagrams,
    "FILE missing, then garbage": appears_later,
}


@asynccontextmanager
async def rtsp_server(video: Path, *options: str) -> AsyncIterator[RtspServer]:
    process = await asyncio.create_subprocess_exec(
        *rtsp.command(video, 0, 1, *options), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        ready = (await process.stdout.readline()).decode()
        assert ready.startswith("ready"), ready
        yield RtspServer(process, int(ready.split(":")[2].split("/")[0]))
    finally:
        process.kill()
        await process.wait()


def two_sizes(path: Path) -> Path:
    """H.264 that changes from 160 x 96 to 320 x 192 in its middle, parameter sets in band."""
    halves = [path.with_name(f"{width}.h264") for width in (160, 320)]
    for half, width in zip(halves, (160, 320), strict=True):
        with av.open(str(half), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, width * 3 // 5, "yuv420p"
            stream.max_b_frames = 0
            for shade in range(20, 220, 10):
                pixels = np.full((stream.height, width, 3), shade, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    path.write_bytes(b"".join(half.read_bytes() for half in halves))
    return path


@dataclass(frozen=True)
class NoCall:
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Outcome:
    watched: Watched | None
    error: BaseException | None


@pytest.fixture(scope="module")
def outcomes(
    clip: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Mapping[str, Outcome]:
    """What became of each story that was asked for."""
    chosen = {
        getattr(item, "callspec", NoCall()).params.get("name") for item in request.session.items
    }
    stories = {
        name: story for name, story in STORIES.items() if name in chosen and not skipped(name)
    }
    return asyncio.run(live_through(stories, clip, tmp_path_factory.mktemp("faults")))


async def live_through(
    stories: Mapping[str, Story], clip: Path, folder: Path
) -> Mapping[str, Outcome]:
    network, devices = Network(AddressPolicy()), Devices()
    makers: Mapping[StreamType, Maker] = {
        **network.makers,
        StreamType.RTSP: RtspCameras(),
        StreamType.FILE: FileCameras(),
        StreamType.USB: UsbCameras(tuple, UsbInput("lavfi", devices.address, asks=False)),
    }
    sources = Sources(makers, decrypt=bytes, policy=AddressPolicy())
    async with AsyncExitStack() as stack:
        stack.enter_context(closing(network))
        ports = {
            kind: await stack.enter_async_context(peer(Scene())) for kind, peer in PEERS.items()
        }
        if not rtsp_missing():
            server = await stack.enter_async_context(rtsp_server(clip))
            ports[StreamType.RTSP] = server.port
        async with a_lab(sources) as lab:
            world = World(lab, folder, clip, ports, stack, devices)
            turns = asyncio.Semaphore(AT_ONCE)
            ended = await asyncio.gather(
                *(in_turn(turns, story, world) for story in stories.values()),
                return_exceptions=True,
            )
    return {
        name: Outcome(None, end) if isinstance(end, BaseException) else Outcome(end, None)
        for name, end in zip(stories, ended, strict=True)
    }


async def in_turn(turns: asyncio.Semaphore, story: Story, world: World) -> Watched:
    async with turns:
        return await story(world)


@cache
def rtsp_missing() -> str | None:
    return rtsp.missing()


def skipped(name: str) -> str | None:
    return rtsp_missing() if name.startswith("RTSP") else None


@pytest.mark.parametrize("name", STORIES)
def test_a_camera_comes_back_by_itself_and_every_frame_is_accounted_for(
    outcomes: Mapping[str, Outcome], name: str
) -> None:
    if reason := skipped(name):
        pytest.skip(reason)
    outcome = outcomes[name]
    if outcome.error is not None:
        raise outcome.error
    assert outcome.watched is not None
    assert outcome.watched.of(FrameCaptured)
    outcome.watched.check_books()
