"""A camera that sends its scene twice: which small picture goes with which large one."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from services.camera.tests.doubles import FakeFrame, FakeSource, an_error
from services.camera.tests.patience import PATIENT, comes_true
from structlog.testing import capture_logs

from camera.adapters.second_stream import TwoStreams
from camera.domain.backoff import Backoff
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, VideoFrame
from mesh.testing import NOON


class Hand:
    """A source that gives a frame whenever it is told to."""

    transport = "tcp"
    codec = "h264"
    own_seconds = 0.0

    def __init__(self) -> None:
        self.passed_over: dict[str, int] = {}
        self._turn = threading.Semaphore(0)
        self._frames: list[VideoFrame | None] = []
        self.closed = threading.Event()
        self.hurried = threading.Event()
        self.waiting = threading.Event()

    def give(self, *frames: VideoFrame | None) -> None:
        for frame in frames:
            self._frames.append(frame)
            self._turn.release()

    def open(self) -> None:
        """Is at hand."""

    def read(self) -> VideoFrame | None:
        if not self._turn.acquire(blocking=False):
            self.waiting.set()
            assert self._turn.acquire(timeout=PATIENT)
        return self._frames.pop(0)

    def wants(self, fps: float) -> None:
        """Shows what it is given."""

    def catch_up(self) -> None:
        self.hurried.set()

    def interrupt(self) -> None:
        """Ends by itself."""

    def close(self) -> None:
        self.closed.set()


def a_frame(image: bytes, claimed: datetime | None = None, size: int = 1000) -> FakeFrame:
    return FakeFrame(image=image, claimed=claimed, size=size)


class Waits:
    """Lets waits end at once, and asks to end at the last one; remembers how long they were."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self.over = threading.Event()
        self._most = most

    def __call__(self, stop: threading.Event, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._most:
            stop.set()
            self.over.set()


class Queue:
    """Turns to connect, which come when they are told to."""

    def __init__(self) -> None:
        self.granted = False
        self.asked: list[tuple[str, bool]] = []
        self.left = threading.Event()
        self._tell: Callable[[], None] = lambda: None

    def ask(self, host: str, granted: Callable[[], None], *, again: bool) -> "Queue":
        self.asked.append((host, again))
        self._tell = granted
        return self

    def come(self) -> None:
        self.granted = True
        self._tell()

    def leave(self) -> None:
        self.left.set()


class Camera:
    """A camera with two streams, and time that stands still."""

    def __init__(self, second: Callable[[], FrameSource] | None = None) -> None:
        self.now = 100.0
        self.main, self.second = Hand(), Hand()
        self.streams = TwoStreams(self.main, second or (lambda: self.second), lambda: self.now)
        self.streams.open()

    def sees(self, *small: FakeFrame) -> None:
        self.second.waiting.clear()
        self.second.give(*small)
        assert self.second.waiting.wait(PATIENT)

    def shows(self, frame: FakeFrame) -> VideoFrame:
        self.main.give(frame)
        shown = self.streams.read()
        assert shown is not None
        return shown

    def end(self) -> None:
        self.streams.interrupt()
        self.second.give(None)
        self.streams.close()


@pytest.fixture
def camera() -> Iterator[Camera]:
    made = Camera()
    yield made
    made.end()


def at(milliseconds: int) -> datetime:
    return NOON + timedelta(milliseconds=milliseconds)


def test_the_small_picture_nearest_by_the_cameras_clock_goes_along(camera: Camera) -> None:
    camera.sees(*(a_frame(b"%d" % ms, at(ms)) for ms in (0, 100, 200)))
    shown = camera.shows(a_frame(b"large", at(120)))
    assert (shown.jpeg(), shown.small_jpeg()) == (b"large", b"100")
    assert (shown.claimed, shown.width) == (at(120), 640)


def test_without_a_clock_the_latest_arrival_is_the_nearest(camera: Camera) -> None:
    camera.sees(a_frame(b"old"))
    camera.now += 0.2
    camera.sees(a_frame(b"new"))
    assert camera.shows(a_frame(b"large")).small_jpeg() == b"new"


def test_a_small_picture_of_another_moment_does_not_go_along(camera: Camera) -> None:
    assert camera.shows(a_frame(b"large")).small_jpeg() is None
    camera.sees(a_frame(b"small"))
    camera.now += 0.5
    assert camera.shows(a_frame(b"large")).small_jpeg() is None


def test_what_both_streams_received_is_counted_once(camera: Camera) -> None:
    camera.sees(a_frame(b"1", size=10), a_frame(b"2", size=20))
    assert camera.shows(a_frame(b"large", size=1000)).size == 1030
    assert camera.shows(a_frame(b"large", size=1000)).size == 1000


def test_both_streams_catch_up(camera: Camera) -> None:
    camera.streams.catch_up()
    camera.sees(a_frame(b"small"))
    camera.sees(a_frame(b"small"))
    assert camera.main.hurried.is_set()
    assert camera.second.hurried.is_set()


def test_the_end_of_the_main_stream_is_the_end(camera: Camera) -> None:
    camera.main.give(None)
    assert camera.streams.read() is None


def test_the_second_stream_may_be_away() -> None:
    refused = FakeSource(refusal=an_error())
    camera = Camera(lambda: refused)
    assert camera.shows(a_frame(b"large")).small_jpeg() is None
    camera.end()
    assert refused.closed >= 1
    assert (camera.streams.transport, camera.streams.codec) == ("tcp", "h264")


@pytest.mark.parametrize(
    ("failure", "code", "expected"),
    [
        (an_error(), "unreachable", [1, 2, 4, 8]),
        (an_error(ErrorCode.UNAUTHORIZED), "unauthorized", [60] * 4),
        (an_error(ErrorCode.NOT_FOUND), "not_found", [60] * 4),
        (ZeroDivisionError("a bug"), "crashed", [60] * 4),
    ],
)
def test_a_second_stream_that_fails_is_tried_again_as_seldom_as_a_camera(
    failure: Exception, code: str, expected: list[float]
) -> None:
    waits = Waits(len(expected))
    streams = TwoStreams(
        Hand(),
        lambda: FakeSource(refusal=failure),
        backoff=Backoff(random=lambda: 1.0),
        wait=waits,
    )
    with capture_logs() as logs:
        streams.open()
        assert waits.over.wait(PATIENT)
        streams.close()
    assert waits.seconds == expected
    told = [log for log in logs if log["event"] == "second_stream_failed"]
    assert [log["code"] for log in told] == [code] * 4
    assert [log["retry_seconds"] for log in told] == expected


def test_a_second_stream_that_was_stable_is_tried_again_soon() -> None:
    now = 0.0
    made = iter([FakeSource(refusal=an_error()), FakeSource([a_frame(b"1"), None])])
    spent = iter([0.0, 11.0])

    def second() -> FrameSource:
        return next(made, None) or FakeSource([a_frame(b"2"), None])

    def monotonic() -> float:
        nonlocal now
        now += next(spent, 0.0)
        return now

    waits = Waits(3)
    backoff = Backoff(random=lambda: 1.0)
    streams = TwoStreams(Hand(), second, monotonic, backoff=backoff, wait=waits)
    streams.open()
    assert waits.over.wait(PATIENT)
    streams.close()
    assert waits.seconds == [1, 1, 2]


def test_a_second_stream_that_is_asked_to_end_is_not_told_to_have_failed() -> None:
    camera = Camera()
    camera.sees(a_frame(b"small"))
    with capture_logs() as logs:
        camera.end()
        assert camera.second.closed.wait(PATIENT)
    assert not [log for log in logs if log["event"].startswith("second_stream")]


def test_the_second_stream_waits_for_its_turn_and_gives_it_back_with_its_first_picture() -> None:
    queue, second, made = Queue(), Hand(), threading.Event()

    def connect() -> FrameSource:
        made.set()
        return second

    streams = TwoStreams(Hand(), connect, turns=queue, host="recorder")
    streams.open()
    assert comes_true(lambda: queue.asked)
    assert not made.wait(0.1)
    queue.come()
    assert second.waiting.wait(PATIENT)
    assert queue.asked == [("recorder", False)]
    assert not queue.left.is_set()
    second.give(a_frame(b"small"))
    assert queue.left.wait(PATIENT)
    streams.interrupt()
    second.give(None)
    streams.close()


def test_a_second_stream_that_failed_gives_its_turn_back_and_asks_again() -> None:
    queue, waits = Queue(), Waits(2)
    queue.come()
    streams = TwoStreams(
        Hand(), lambda: FakeSource(refusal=an_error()), wait=waits, turns=queue, host="recorder"
    )
    streams.open()
    assert waits.over.wait(PATIENT)
    streams.close()
    assert queue.asked == [("recorder", False), ("recorder", True)]
    assert queue.left.is_set()


def test_a_second_stream_that_is_not_wanted_any_more_does_not_wait_for_its_turn() -> None:
    queue, made = Queue(), threading.Event()

    def connect() -> FrameSource:
        made.set()
        return FakeSource()

    streams = TwoStreams(Hand(), connect, turns=queue)
    streams.open()
    assert comes_true(lambda: queue.asked)
    streams.interrupt()
    assert queue.left.wait(PATIENT)
    streams.close()
    assert not made.is_set()
