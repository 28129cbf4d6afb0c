"""The use case: which cameras have a stream, and when it may run."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

from camera.domain.ownership import owned
from camera.domain.policy import same_connection
from camera.domain.status import idle_status
from camera.stage.parts import StageParts
from camera.stage.stream import Stream
from mesh.events import Camera


class CameraStage:
    """Runs one stream for every camera that is registered, switched on and this replica's.

    Made and used in one event loop. Nothing is connected before the whole registry is known.

    Args:
        parts: What the streams need.
        partition_of: Partition of a key of the topic `cameras`.
        node: Name of this replica's node, for cameras that hang on it.
    """

    def __init__(
        self, parts: StageParts, *, partition_of: Callable[[str], int], node: str | None = None
    ) -> None:
        self._parts = parts
        self._partition_of = partition_of
        self._node = node
        self._registry: dict[str, Camera] = {}
        self._known = False
        self._partitions: set[int] = set()
        self._in_doubt: set[int] = set()
        self._problem: str | None = None
        self._streams: dict[str, Stream] = {}
        self._idle: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ended a stream's task, should a bug do that."""

    @property
    def running(self) -> Collection[str]:
        """Ids of the cameras that have a stream."""
        return self._streams.keys()

    def registry_known(self) -> None:
        """Everything that was registered has been read."""
        self._known = True
        self._reconcile()

    def changed(self, camera_id: str, camera: Camera | None) -> None:
        """A camera was registered, changed, or deleted."""
        if camera is not None:
            self._registry[camera_id] = camera
            self._reconcile()
            return
        deleted = self._registry.pop(camera_id, None)
        self._reconcile()
        if deleted is not None and self._known and self._owned([deleted]):
            self._parts.reports.forget(camera_id)

    def assigned(self, partitions: Collection[int]) -> None:
        """Kafka gave this replica more partitions of `cameras`; none is in doubt any more."""
        self._partitions |= set(partitions)
        self._in_doubt.clear()
        self._reconcile()

    def revoked(self, partitions: Collection[int]) -> None:
        """Kafka took partitions away; their streams end before this returns."""
        self._partitions -= set(partitions)
        self._in_doubt -= set(partitions)
        self._reconcile()

    def lost(self, partitions: Collection[int]) -> None:
        """The group fell silent, so nobody can tell whose these partitions are until `assigned`.

        Cameras whose frames must not be missed are read on, the others end. Should another replica
        have them by now, it reads them under a newer epoch, and this one's frames move no state.
        """
        self._in_doubt |= self._partitions & set(partitions)
        self._partitions -= set(partitions)
        self._reconcile()

    def publishing(self, problem: str | None) -> None:
        """Whether frames can be published; repeatable.

        While they cannot, cameras with `overload: latest` are not read: what they showed would be
        too old by the time that it is published.

        Args:
            problem: What is away, for people.
        """
        if (problem is None) == (self._problem is None):
            return
        self._problem = problem
        for stream in self._streams.values():
            self._hold_or_release(stream)

    def report(self) -> None:
        """Publishes the status of every stream."""
        for stream in self._streams.values():
            stream.report()
        states = Counter(stream.capture.life.state for stream in self._streams.values())
        self._parts.gauges.streams(states)

    def stop(self) -> None:
        """Ends every stream and says so: the replica goes away."""
        self._known = False
        for camera_id in list(self._streams):
            stream = self._let_go(camera_id)
            stream.stopped("the replica that read this camera stops")

    def _reconcile(self) -> None:
        if not self._known:
            return
        mine = self._owned(self._registry.values())
        wanted = {key: camera for key, camera in mine.items() if camera.detection.enabled}
        for camera_id in self._streams.keys() - wanted.keys():
            stream = self._let_go(camera_id)
            if camera_id in mine:
                stream.stopped("the camera was switched off")
                self._idle.add(camera_id)
        self._tell_idle({key: mine[key] for key in mine.keys() - wanted.keys()})
        for camera_id, camera in wanted.items():
            self._apply(camera_id, camera)

    def _apply(self, camera_id: str, camera: Camera) -> None:
        """Starts a stream, connects it anew where it must be, or changes its settings."""
        present = self._streams.get(camera_id)
        if present is None:
            self._start(camera, after=None)
        elif not self._same_connection(present, camera):
            self._let_go(camera_id)
            self._start(camera, after=present.gone)
        elif present.capture.camera != camera:
            epoch = present.capture.adopt(camera, self._parts.clock.now())
            if epoch is not None:
                self._parts.frames.attach(epoch)
            self._hold_or_release(present)

    def _same_connection(self, present: Stream, camera: Camera) -> bool:
        before = present.capture.camera.stream
        return same_connection(before, camera.stream, self._parts.same_password)

    def _start(self, camera: Camera, after: asyncio.Event | None) -> None:
        stream = Stream(self._parts, camera)
        self._streams[camera.camera_id] = stream
        self._hold_or_release(stream)
        task = asyncio.get_running_loop().create_task(stream.run(after))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _hold_or_release(self, stream: Stream) -> None:
        if self._problem is None or stream.capture.must_go_on:
            stream.release()
        else:
            stream.hold(self._problem)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            self.broken.set_exception(error)

    def _let_go(self, camera_id: str) -> Stream:
        stream = self._streams.pop(camera_id)
        stream.end()
        return stream

    def _tell_idle(self, cameras: dict[str, Camera]) -> None:
        """Says once of every camera that is switched off that it is."""
        for camera_id in cameras.keys() - self._idle:
            clock, policy = self._parts.clock, self._parts.policy
            status = idle_status(cameras[camera_id], policy.instance_id, clock.now())
            self._parts.reports.status(status)
        self._idle = set(cameras)

    def _owned(self, cameras: Collection[Camera]) -> dict[str, Camera]:
        return owned(
            cameras,
            node=self._node,
            partitions=self._partitions,
            in_doubt=self._in_doubt,
            partition_of=self._partition_of,
        )
