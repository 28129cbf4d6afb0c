"""Turns to connect that threads ask for: they count with those of the event loop."""

import asyncio
import threading
from dataclasses import replace

import pytest
from services.camera.tests.doubles import FakeSource
from services.camera.tests.lab import until
from services.camera.tests.patience import PATIENT

from camera.adapters import rtsp_cameras
from camera.adapters.rtsp_cameras import RtspCameras
from camera.domain.budget import ConnectionLimits
from camera.ports import FrameSource
from camera.stage import ThreadTurns, Turns
from mesh.events import StreamConfig, StreamType
from mesh.testing import a_camera

HOST = "recorder"


async def settled() -> None:
    """Lets the loop do what threads asked of it."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_thread_and_the_loop_share_the_turns_of_a_host() -> None:
    turns = Turns(ConnectionLimits(per_host=1))
    held = turns.ask(HOST, lambda: None, again=False)
    come = threading.Event()
    turn = ThreadTurns(turns).ask(HOST, come.set, again=False)
    await settled()
    assert not turn.granted
    held.leave()
    assert turn.granted
    assert come.is_set()
    later = turns.ask(HOST, lambda: None, again=False)
    assert not later.granted
    turn.leave()
    turn.leave()
    await settled()
    assert later.granted


async def test_a_thread_that_waits_no_longer_holds_nobody_up() -> None:
    turns = Turns(ConnectionLimits(per_host=1))
    held = turns.ask(HOST, lambda: None, again=False)
    turn = ThreadTurns(turns).ask(HOST, lambda: None, again=False)
    turn.leave()
    await settled()
    held.leave()
    assert not turn.granted
    assert turns.ask(HOST, lambda: None, again=False).granted


async def test_many_threads_never_have_more_turns_at_once_than_a_host_allows() -> None:
    turns = ThreadTurns(Turns(ConnectionLimits(per_host=3)))
    lock, had = threading.Lock(), [0]
    at_once: list[int] = []

    def connect() -> None:
        come = threading.Event()
        turn = turns.ask(HOST, come.set, again=False)
        assert come.wait(PATIENT)
        with lock:
            had[0] += 1
            at_once.append(had[0])
        threading.Event().wait(0.01)
        with lock:
            had[0] -= 1
        turn.leave()

    await asyncio.gather(*(asyncio.to_thread(connect) for _ in range(12)))
    assert len(at_once) == 12
    assert max(at_once) <= 3


async def test_a_turn_that_is_given_back_after_the_loop_has_ended_is_nobodys() -> None:
    turns = await asyncio.to_thread(lambda: asyncio.run(a_loop_that_ends()))
    told: list[str] = []
    turn = turns.ask(HOST, lambda: told.append("come"), again=False)
    turn.leave()
    assert not turn.granted
    assert told == []


async def a_loop_that_ends() -> ThreadTurns:
    return ThreadTurns(Turns())


async def test_the_second_stream_of_a_camera_waits_for_the_turns_of_its_own_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The main stream shows nothing here, and its host is full: that holds the second not up."""
    made: list[str] = []

    def source(stream: StreamConfig, *_: object, **__: object) -> FrameSource:
        made.append(stream.url or "")
        return FakeSource()

    monkeypatch.setattr(rtsp_cameras, "RtspSource", source)
    turns = Turns(ConnectionLimits(per_host=1))
    held = turns.ask("small.example", lambda: None, again=False)
    stream = StreamConfig(
        stream_type=StreamType.RTSP,
        url="rtsp://large.example/1",
        sub_url="rtsp://small.example/2",
    )
    cameras = replace(RtspCameras(), turns=ThreadTurns(turns))
    both = cameras(a_camera(stream=stream))
    both.open()
    await asyncio.sleep(0.2)
    assert made == ["rtsp://large.example/1"]
    held.leave()
    await until(lambda: len(made) == 2)
    assert made[1] == "rtsp://small.example/2"
    both.interrupt()
    both.close()
