"""One camera from when it is taken up until it is let go."""

import asyncio

from camera.domain.budget import Place
from camera.domain.capture import Capture
from camera.domain.life import ErrorCode
from camera.domain.policy import host_of
from camera.domain.status import Notice, connection_event
from camera.ports import SourceError
from camera.stage.connection import Connection, Hooks
from camera.stage.parts import StageParts
from mesh.events import Camera, StreamState, StreamType
from mesh.logs import get_logger

_HANGS_AFTER = 4
"""Time-outs: two transports may be tried, and each may connect and then show nothing."""
_HAND_OVER_SECONDS = 2.0
"""A changed stream waits this long for the old connection to go before it makes its own."""


class Stream:
    """One camera from when it is taken up until it is let go: connects again and again."""

    def __init__(self, parts: StageParts, camera: Camera) -> None:
        self.capture = Capture(camera, parts.policy, parts.clock.now())
        self._parts = parts
        self._host = host_of(camera)
        self._log = get_logger("camera.stage")
        self._ending = asyncio.Event()
        self._stirred = asyncio.Event()
        """Ends the wait for a turn or for the next attempt."""
        self._held: SourceError | None = None
        self._freed = asyncio.Event()
        self._connection: Connection | None = None
        self._host_answers = False
        """Whether the host let others in while this camera's last attempt failed."""
        self._began = parts.clock.monotonic()

    @property
    def gone(self) -> asyncio.Event | None:
        """Set once the last connection's thread has ended, if there ever was one."""
        return None if self._connection is None else self._connection.gone

    async def run(self, after: asyncio.Event | None = None) -> None:
        """Keeps the camera connected until `end` is called or its file is over."""
        if after is not None:
            await self._parts.wait(after, _HAND_OVER_SECONDS)
        while not self._ending.is_set():
            error = self._held or await self._connect()
            if error is None or self._ending.is_set() or self._is_final(error):
                break
            delay = self._failed(error)
            if self._gives_up(error):
                break
            await self._recover(error, delay)

    def end(self) -> None:
        """Ends the stream; nothing it reads from now on is published."""
        self._ending.set()
        self._freed.set()
        self._stirred.set()
        if self._connection is not None:
            self._connection.end()
        self.capture.close_session()

    def hold(self, reason: str) -> None:
        """Ends the connection and makes none, because pictures could not be brought anywhere.

        Args:
            reason: What is away, for people.
        """
        if self._held is None:
            self._held = SourceError(ErrorCode.DEPENDENCY_UNAVAILABLE, reason)
            self._freed.clear()
            self._stirred.set()
            if self._connection is not None:
                self._connection.end(self._held)

    def release(self) -> None:
        """Connects again, after a moment of its own, so that not all cameras are asked at once."""
        self._held = None
        self._freed.set()

    def stopped(self, details: str) -> None:
        """Tells that the stream is over, if that is not known."""
        if self.capture.life.state is not StreamState.STOPPED:
            self.capture.life = self.capture.life.stopped(self._parts.clock.now())
            self._announce(Notice(details))

    def report(self) -> None:
        """Publishes the present status."""
        clock = self._parts.clock
        self._parts.reports.status(self.capture.status(clock.now(), clock.monotonic()))

    def _went_live(self, place: Place) -> None:
        self._parts.turns.went_live(place)
        clock, attempt = self._parts.clock, self.capture.life.attempts
        self.capture.life = self.capture.life.went_live(clock.now())
        kind = self.capture.camera.stream.stream_type
        latency_ms = f"{1000 * (clock.monotonic() - self._began):.0f}"
        attributes = {"connection_attempt": str(attempt), "latency_ms": latency_ms}
        self._announce(Notice(f"{kind} connection established", attributes))

    def _noticed(self, notice: Notice) -> None:
        self._announce(notice, severity="warning")

    def _is_final(self, error: SourceError) -> bool:
        """Whether this is the end of a file that is shown once."""
        stream = self.capture.camera.stream
        if error.code is not ErrorCode.STREAM_ENDED or not self._shown_once():
            return False
        now = self._parts.clock.now()
        self.capture.life = self.capture.life.stopped(now, error.code, str(error))
        self._announce(Notice(f"the {stream.stream_type} is over"))
        return True

    def _gives_up(self, error: SourceError) -> bool:
        """Whether it has failed too often, if there is such a thing (specification 6.3)."""
        most, life = self._parts.max_retries, self.capture.life
        if not most or error is self._held or life.failures <= most:
            return False
        self.capture.life = life.stopped(self._parts.clock.now(), error.code, str(error))
        self._announce(Notice(f"gave up after {most} retries: {error}"))
        return True

    def _shown_once(self) -> bool:
        stream = self.capture.camera.stream
        return stream.stream_type.value == "FILE" and not stream.loop

    async def _connect(self) -> SourceError | None:
        place = await self._turn()
        if place is None:
            return self._held
        self.capture.life = self.capture.life.connecting()
        self._announce(Notice("connecting"))
        self._began = self._parts.clock.monotonic()
        hooks = Hooks(live=lambda: self._went_live(place), noticed=self._noticed, gone=place.leave)
        self._connection = Connection(self._parts, self.capture, hooks)
        error = await self._read(self._connection, place)
        self.capture.close_session()
        self._host_answers = self._judge(place, error)
        return error

    async def _read(self, connection: Connection, place: Place) -> SourceError | None:
        """Reads until the connection ends, or hangs though it has a time-out of its own.

        Its thread cannot be ended; a wedged device may hold it for ever.
        """
        stream = self.capture.camera.stream
        patience = max(self._parts.patience, _HANGS_AFTER * stream.timeout_seconds)
        reading = asyncio.ensure_future(connection.read())
        while not (await asyncio.wait([reading], timeout=patience))[0]:
            if connection.silent_seconds > patience and stream.stream_type is not StreamType.FILE:
                connection.end(SourceError(ErrorCode.TIMEOUT, "reading this camera hangs"))
                place.leave()
        return reading.result()

    async def _turn(self) -> Place | None:
        """Waits until the camera may connect; nothing if it is not to connect any more."""
        self._stirred.clear()
        again = self.capture.life.failures > 0
        place = self._parts.turns.ask(self._host, self._stirred.set, again=again)
        if not place.granted:
            self.capture.details = "waits for its turn: others are connecting"
            self.report()
            await self._stirred.wait()
            self.capture.details = None
        if self._ending.is_set() or self._held is not None:
            place.leave()
            return None
        return place

    def _judge(self, place: Place, error: SourceError | None) -> bool:
        """Notes whether the host answered; whether it let others in while this camera tried."""
        live = self.capture.life.state is StreamState.LIVE
        if live or error is None or error is self._held or error.code.needs_people:
            return False
        return place.failed()

    async def _recover(self, error: SourceError, delay: float) -> None:
        """Waits until the next attempt is due, or the host answers again."""
        held = error is self._held
        if held:
            await self._freed.wait()
            if self.gone is not None:
                await self._parts.wait(self.gone, _HAND_OVER_SECONDS)
        self._stirred.clear()
        if not self._ending.is_set():
            with self._parts.turns.waiting(self._host, self._stirred):
                await self._parts.wait(self._stirred, delay)

    def _failed(self, error: SourceError) -> float:
        now = self._parts.clock.now()
        failed = self.capture.life.failed(now, error.code, str(error))
        held = error is self._held
        soon = held or self._host_answers
        delay = self._parts.backoff.delay(1 if soon else failed.failures, error.code)
        self.capture.life = failed if held else failed.retrying_at(now + delay)
        self._announce(Notice(str(error)))
        return delay.total_seconds()

    def _announce(self, notice: Notice, *, severity: str | None = None) -> None:
        clock = self._parts.clock
        status = self.capture.status(clock.now(), clock.monotonic())
        event = connection_event(status, clock.now(), notice, severity=severity)
        self._parts.reports.status(status)
        self._parts.reports.event(event)
        camera = {"camera_id": status.camera_id, "camera_name": status.camera_name}
        self._log.info("camera_connection", camera=camera, **event.attributes)
