"""The cameras whose pictures clients push to this gateway, and what the mesh is told of them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from mesh.clock import Clock
from mesh.errors import MeshError, RejectedRecordError, TransientError
from mesh.events import Camera, CameraStatus, LogEvent, StreamState
from mesh.logs import get_logger
from mesh.source.epoch import Epoch, Waiting
from mesh.stage import Output
from mesh.topics import Topics
from mesh.tracing import TraceContext, headers_for
from results.adapters.gateway_metrics import GatewayMetrics
from results.domain import endings
from results.domain.cameras import is_pushed
from results.domain.endings import Ending
from results.domain.pushed import RING, PushSession
from results.ports import Publisher

REPORT_SECONDS = 2.0
"""Between two statuses of a camera."""
_EVENTS = 1000
_LAST_SECONDS = 4.0
_log = get_logger("pushes")


class Push:
    """One client's connection: its session, and how it is asked to end."""

    def __init__(self, session: PushSession) -> None:
        self.session = session
        self.epochs = [session.epoch]
        """Those that may still have pictures to bring, oldest first."""
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.wake = asyncio.Event()
        """Set when there are pictures to bring, or the session is over."""
        self.room = asyncio.Event()
        """Set when pictures have left."""

    def end(self, ending: Ending) -> None:
        """The connection is over; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(ending)
            self.session.end(ending)
            self.wake.set()
            self.room.set()


class Pushes:
    """Brings the pictures of all pushing clients to the broker; lives in one event loop.

    A camera has one pusher: the newest. Those of other gateways are heard through `camera-status`.

    Args:
        publisher: Brings pictures, statuses, events and the ledger to the broker.
        limit: So many clients at once; each may hold a ring of pictures in memory.
    """

    def __init__(
        self,
        publisher: Publisher,
        topics: Topics,
        clock: Clock,
        *,
        instance_id: str,
        limit: int = 100,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self.instance_id = instance_id
        self._publisher = publisher
        self._topics = topics
        self._clock = clock
        self._limit = limit
        self._metrics = metrics or GatewayMetrics()
        self._present: dict[str, Push] = {}
        self._bringing: set[asyncio.Task[None]] = set()
        self._epochs: list[Epoch] = []
        self._statuses: dict[str, CameraStatus | None] = {}
        self._events: deque[LogEvent] = deque(maxlen=_EVENTS)
        self._due = asyncio.Event()
        self._telling = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._present)

    def __contains__(self, camera_id: str) -> bool:
        """Whether a client pushes this camera here; from any thread."""
        return camera_id in self._present

    def refusal(self, camera_id: str) -> Ending | None:
        """Why a client cannot push this camera here now; who takes over from another always can."""
        if camera_id in self._present or len(self._present) < self._limit:
            return None
        self._metrics.push_refused()
        return endings.full(self._limit)

    def join(self, session: PushSession) -> Push:
        """Take a client's pictures from now on; whoever pushed the same camera is sent away."""
        camera_id = session.camera.camera_id
        if (before := self._present.get(camera_id)) is not None:
            before.end(endings.REPLACED)
            self._tell(before, endings.REPLACED.reason, status=False)
        push = self._present[camera_id] = Push(session)
        self._metrics.pushing(len(self._present))
        self._epochs.append(session.epoch)
        self._tell(push, "a client connected")
        task = asyncio.create_task(self._bring(push))
        self._bringing.add(task)
        task.add_done_callback(partial(self._brought, push))
        return push

    def live(self, push: Push) -> None:
        """The first picture of a client came."""
        self._tell(push, "WEBSOCKET connection established")

    def leave(self, push: Push, ending: Ending) -> None:
        """The client is gone, or sent away; repeatable."""
        push.end(ending)
        camera_id = push.session.camera.camera_id
        if self._present.get(camera_id) is push:
            self._drop(camera_id)
            self._tell(push, ending.reason)

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        """The registry has a camera anew, or has it no longer."""
        push = self._present.get(camera_id)
        if push is None:
            return
        if camera is None:
            self.leave(push, endings.DELETED)
            self.forget(camera_id)
        elif camera.revision < push.session.camera.revision:
            pass  # a gateway that starts reads what was long ago, too
        elif not is_pushed(camera.stream) or not camera.detection.enabled:
            self.leave(push, endings.SWITCHED_OFF)
        elif (epoch := push.session.adopt(camera, self._clock.now())) is not None:
            push.epochs.append(epoch)
            self._epochs.append(epoch)

    def heard(self, status: CameraStatus) -> None:
        """What any source says of a camera; a newer session elsewhere ends the one here."""
        push = self._present.get(status.camera_id)
        if push is None or status.instance_id == self.instance_id:
            return
        newer = (status.epoch or 0) > push.session.epoch.number
        if newer and status.state is not StreamState.STOPPED:
            push.end(endings.REPLACED)
            self._drop(status.camera_id)
            self._statuses.pop(status.camera_id, None)
            self._tell(push, endings.REPLACED.reason, status=False)

    def forget(self, camera_id: str) -> None:
        """A camera was deleted: so is its status."""
        self._statuses[camera_id] = None
        self._due.set()

    async def run(self) -> None:
        """Tell the mesh every two seconds how it goes, and at once of transitions."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), REPORT_SECONDS)
            self._due.clear()
            for push in self._present.values():
                self._note_status(push)
            await self.report()

    async def stop(self) -> None:
        """Send every client away and bring what it pushed; returns within seconds."""
        for push in list(self._present.values()):
            self.leave(push, endings.STOPPING)
        if self._bringing:
            await asyncio.wait(self._bringing, timeout=_LAST_SECONDS)
        for _ in range(2):  # what closes an epoch follows all that was reported before
            await self.report()

    async def report(self) -> None:
        """Tell what waits; what the broker does not take waits on."""
        async with self._telling:
            statuses, self._statuses = self._statuses, {}
            events, self._events = list(self._events), deque(maxlen=_EVENTS)
            self._epochs = [epoch for epoch in self._epochs if not epoch.finished]
            now = self._clock.now()
            entries = [
                (each, entry)
                for each in self._epochs
                for entry in each.report(now, self.instance_id)
            ]
            news: list[tuple[str, str, Any]] = [
                *(("camera-status", camera_id, status) for camera_id, status in statuses.items()),
                *(("events", event.camera_id or "", event) for event in events),
                *(("ledger", entry.camera_id, entry) for _, entry in entries),
            ]
            outputs = [Output(self._topics(name), key, event) for name, key, event in news]
            try:
                await asyncio.to_thread(self._publisher.publish, outputs)
            except MeshError as error:
                _log.warning("pushes_not_told", message=str(error))
                self._statuses = statuses | self._statuses
                self._events.extendleft(reversed(events))
                for epoch, entry in entries:
                    epoch.unreported(entry)
            else:
                for epoch, entry in entries:
                    epoch.reported(entry)

    def _drop(self, camera_id: str) -> None:
        del self._present[camera_id]
        self._metrics.pushing(len(self._present))

    def _tell(self, push: Push, details: str, *, status: bool = True) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._events.append(push.session.event(details, now, monotonic))
        if status:
            self._note_status(push)
        self._due.set()

    def _note_status(self, push: Push) -> None:
        status = push.session.status(self._clock.now(), self._clock.monotonic())
        self._statuses[status.camera_id] = status

    async def _bring(self, push: Push) -> None:
        """Publish what waits until the session is over and nothing is left."""
        over = False
        while not over:
            await push.wake.wait()
            push.wake.clear()
            over = push.ended.done()
            for epoch in push.epochs:
                await self._drain(push, epoch)
            push.epochs = [push.session.epoch]
            push.room.set()

    def _brought(self, push: Push, task: "asyncio.Task[None]") -> None:
        self._bringing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("pushed_pictures_stuck", exc_info=error)
            self.leave(push, endings.BROKEN)

    async def _drain(self, push: Push, epoch: Epoch) -> None:
        while taken := epoch.take(RING, self._clock.now()):
            try:
                await self._publish(epoch, taken)
            except TransientError as error:
                _log.warning("pushed_pictures_not_taken", message=str(error))
                for waiting in taken:
                    epoch.refuse(waiting.sequence, "unacknowledged")
                self.leave(push, endings.AWAY)
            push.room.set()

    async def _publish(self, epoch: Epoch, taken: Sequence[Waiting]) -> None:
        topic = self._topics.lane(epoch.lane)
        outputs = [
            Output(topic, epoch.camera_id, waiting.event, headers_for(TraceContext.new()))
            for waiting in taken
        ]
        try:
            await asyncio.to_thread(self._publisher.publish, outputs)
        except RejectedRecordError:
            if len(taken) == 1:
                epoch.refuse(taken[0].sequence, "too_large")
                return
            for waiting in taken:
                await self._publish(epoch, [waiting])
        else:
            for waiting in taken:
                epoch.acknowledge(waiting.sequence)
