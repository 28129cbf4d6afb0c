"""What this gateway knows of the present: results, streams, models and names from the topics."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.errors import MeshError, RejectedRecordError
from mesh.events import Camera, CameraStatus, FrameResult, ModelStatus, Person, ResultDetection
from mesh.logs import get_logger
from results.domain.camera_state import Heard
from results.domain.models import KNOWN_FOR
from results.ports import PersonDirectory

CACHE_SECONDS = 3.0
"""How long a camera's last result counts as live (specification, 2.3)."""
_RECENT, _FEWEST = 64, 4
"""Results of one camera that are kept, at most and at least."""
_MOST_RECENT = 4096
"""Results of all cameras together, as long as each has its fewest; one takes 4 to 10 KB."""
_MOST_NAMES = 20_000
_SEEN = 19_000
"""So many keys fit into a set of half a megabyte; one more would make it four times as large."""
_log = get_logger("live")


@dataclass(frozen=True, slots=True)
class LiveResult:
    """A camera's last result and how old it is here."""

    result: FrameResult
    age_seconds: float


def _newest(live: LiveResult) -> tuple[datetime, int, int]:
    frame = live.result.frame
    return frame.received_timestamp, frame.sequence_number, live.result.revision


def _cannot_decode(_: bytes) -> FrameResult:
    raise RejectedRecordError("this gateway was not told how results are decoded")


class _Seen:
    """Remembers the last 19,000 keys at least and twice as many at most, by their hashes.

    Of 10**14 new keys one has the hash of 64 bits of another that is remembered, whose frame would
    be missing in the live view.
    """

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: int) -> bool:
        """Note a key; false if it is known."""
        if key in self._new or key in self._old:
            return False
        self._new.add(key)
        if len(self._new) == _SEEN:
            self._old, self._new = self._new, set()
        return True


class LiveState:
    """The last results of each camera, the state of streams and models; safe for threads."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        decode: Callable[[bytes], FrameResult] = _cannot_decode,
    ) -> None:
        """Know nothing yet.

        Args:
            monotonic: seconds that never go back.
            decode: makes a result of what `keep` was given; raises MeshError if it cannot.
        """
        self._monotonic = monotonic
        self._decode = decode
        self._lock = threading.Lock()
        self._recent: dict[str, deque[tuple[float, FrameResult | bytes]]] = {}
        self._seen = _Seen()
        self._cameras: dict[str, Camera] = {}
        self._statuses: dict[str, tuple[float, CameraStatus]] = {}
        self._listens_since = monotonic()
        self._models: dict[tuple[str, ...], tuple[float, ModelStatus]] = {}
        self._last_result: float | None = None

    def add_result(self, result: FrameResult) -> bool:
        """Note a result; false if this gateway has seen it before."""
        with self._lock:
            if not self._seen.add(hash((result.frame.frame_key, result.revision))):
                return False
            self._remember(result.frame.camera_id, result)
        return True

    def keep(self, camera_id: str, encoded: bytes) -> None:
        """Note a camera's result as it came; it is decoded if somebody asks for it."""
        with self._lock:
            self._remember(camera_id, encoded)

    def result(self, camera_id: str) -> LiveResult | None:
        """The camera's last frame with a result that is no older than the cache keeps.

        What came last may be an older frame, told again after a crash: the newest of the last few
        counts.
        """
        with self._lock:
            recent = list(self._recent.get(camera_id, ()))[-_FEWEST:]
        now = self._monotonic()
        fresh = [(at, self._decoded(each)) for at, each in recent if now - at <= CACHE_SECONDS]
        found = [LiveResult(result, now - at) for at, result in fresh if result is not None]
        return max(found, key=_newest, default=None)

    def detection(self, detection_id: str) -> tuple[FrameResult, ResultDetection] | None:
        """A detection of the last frames of any camera."""
        with self._lock:
            kept = [each for recent in self._recent.values() for _, each in recent]
        identifier = detection_id.encode()
        for each in kept:
            if isinstance(each, bytes) and identifier not in each:
                continue
            result = self._decoded(each)
            if result is None:
                continue
            for item in result.detections:
                if item.detection_id == detection_id:
                    return result, item
        return None

    def _remember(self, camera_id: str, result: FrameResult | bytes) -> None:
        self._last_result = now = self._monotonic()
        recent = self._recent.setdefault(camera_id, deque())
        recent.append((now, result))
        fair = max(_FEWEST, min(_RECENT, _MOST_RECENT // len(self._recent)))
        while len(recent) > fair:
            recent.popleft()

    def _decoded(self, kept: FrameResult | bytes) -> FrameResult | None:
        if not isinstance(kept, bytes):
            return kept
        try:
            return self._decode(kept)
        except MeshError as error:
            _log.warning("result_unreadable", message=str(error))
            return None

    def seconds_since_result(self) -> float | None:
        """How long ago the last result of any camera came."""
        last = self._last_result
        return None if last is None else self._monotonic() - last

    def set_status(self, camera_id: str, status: CameraStatus | None) -> bool:
        """Note a camera's status, or forget the camera; true if its state changed."""
        with self._lock:
            known = self._statuses.get(camera_id)
            before = known and known[1]
            if status is None:
                self._statuses.pop(camera_id, None)
                self._recent.pop(camera_id, None)
                return before is not None
            # Even what is old by the clock of another machine tells that somebody is there.
            now = self._monotonic()
            if before is not None and before.updated_at > status.updated_at:
                self._statuses[camera_id] = now, before
                return False
            self._statuses[camera_id] = now, status
        return before is None or before.state is not status.state

    def status(self, camera_id: str) -> CameraStatus | None:
        """The camera's last status."""
        known = self._statuses.get(camera_id)
        return known and known[1]

    def heard(self, camera_id: str) -> Heard:
        """The camera's last status and its age here."""
        at, status = self._statuses.get(camera_id, (self._listens_since, None))
        return Heard(status, timedelta(seconds=self._monotonic() - at))

    def set_camera(self, camera_id: str, camera: Camera | None) -> None:
        """Note a camera of the registry, or that it was deleted."""
        with self._lock:
            if camera is None:
                self._cameras.pop(camera_id, None)
            else:
                self._cameras[camera_id] = camera

    def registered(self, camera_id: str) -> bool:
        """Whether the registry has this camera."""
        return camera_id in self._cameras

    def cameras(self) -> list[Camera]:
        """Every camera of the registry, as its topic has it."""
        with self._lock:
            return list(self._cameras.values())

    def set_model(self, key: str, status: ModelStatus | None) -> None:
        """Note a model's heartbeat, or forget the model; what is silent for long is forgotten."""
        with self._lock:
            if status is None:
                gone = [known for known in self._models if key == known[0]]
            else:
                place = (status.model_id, status.instance_id, status.device, status.engine)
                now = self._monotonic()
                self._models[place] = now, status
                # By this clock: that of another machine may be wrong, which must hide nobody else.
                oldest = now - KNOWN_FOR.total_seconds()
                gone = [known for known, (at, _) in self._models.items() if at < oldest]
            for known in gone:
                del self._models[known]

    def models(self) -> list[ModelStatus]:
        """The last heartbeat of every model in every process, and on each of its engines."""
        with self._lock:
            return [status for _, status in self._models.values()]


class NameCache:
    """Persons by id in front of the directory; the topic `persons` keeps it true.

    Lookups that miss block on the directory, so they are for threads, not for the event loop.
    """

    def __init__(self, directory: PersonDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Person] = OrderedDict()
        self._erased: set[str] = set()

    def put(self, person_id: str, person: Person | None) -> None:
        """What the topic says of a person; `None` was erased, which is final.

        A record that is older than what is known may come late; it changes nothing.
        """
        with self._lock:
            known = self._known.get(person_id)
            if person is None:
                self._erased.add(person_id)
                self._known.pop(person_id, None)
            elif known is None or known.revision <= person.revision:
                self._keep(person)

    def named(self, person_ids: Collection[str]) -> Mapping[str, Person]:
        """Those of the persons that are known.

        Raises:
            TransientError: The directory cannot be reached.
        """
        with self._lock:
            found = {key: self._known[key] for key in person_ids if key in self._known}
            missing = [key for key in person_ids if key not in found and key not in self._erased]
        if missing:
            fetched = self._directory.named(missing)
            with self._lock:
                for key, person in fetched.items():
                    # The topic may have been faster than the query.
                    if key not in self._known:
                        self._keep(person)
                found |= {key: self._known[key] for key in missing if key in self._known}
        return found

    def person(self, person_id: str) -> Person | None:
        """One person."""
        return self.named([person_id]).get(person_id)

    def _keep(self, person: Person) -> None:
        if person.person_id in self._erased:
            return
        self._known[person.person_id] = person
        self._known.move_to_end(person.person_id)
        if len(self._known) > _MOST_NAMES:
            self._known.popitem(last=False)
