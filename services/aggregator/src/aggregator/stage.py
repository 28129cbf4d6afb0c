"""The use case: a recognised frame in, its result, sightings, pictures and answer out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

from aggregator.domain.answers import frame_answer
from aggregator.domain.followed import SightingPolicy
from aggregator.domain.results import frame_result
from aggregator.domain.sightings import (
    Feed,
    Settled,
    best_among,
    close_silent,
    follow,
    is_late,
    told_by,
)
from aggregator.domain.snapshots import best_of_sightings, requested
from aggregator.domain.state import CameraState, feed_of
from aggregator.domain.windows import (
    STAGE,
    Seen,
    Verdict,
    first_seen,
    judge,
    remember,
    unsettled,
)
from aggregator.ports import Step
from mesh.clock import Clock
from mesh.events import (
    FrameHeader,
    FrameRecognized,
    FrameResult,
    LogEvent,
    Outcome,
    RecognizedFace,
    Sighting,
    Snapshot,
    StageTime,
)
from mesh.identity import derived_id
from mesh.record import Record
from mesh.stage import Output
from mesh.topics import Topics


class AggregatorStage:
    """Moves a camera's state by one record, without touching anything else.

    Called again with a record that it has seen and the state of then or later, it returns that
    state and outputs that it returned before, byte for byte; a sighting's revision that a higher
    one has replaced is left out.
    """

    def __init__(
        self, *, topics: Topics, policy: SightingPolicy, clock: Clock, instance_id: str
    ) -> None:
        self._topics = topics
        self._policy = policy
        self._clock = clock
        self._instance_id = instance_id

    def process(
        self, state: CameraState, record: Record[FrameRecognized], started_at: datetime
    ) -> Step:
        """Fold the record into its camera's state.

        Any exception follows from the record and the state alone: call `poison` then.

        Args:
            state: Of the record's camera.
            record: What recognition said of a frame.
            started_at: When this process took it up, UTC.
        """
        frame = record.event.frame
        verdict, seen = judge(state.seen, frame, record.offset)
        if seen is None:
            seen = self._entry(record, started_at)
        match verdict:
            case Verdict.OTHER:
                return Step(state)
            case Verdict.AGAIN:
                return Step(state, self._again(state, record, seen), seen.poisoned)
            case Verdict.FORGOTTEN:
                return Step(state, self._outputs(record.event, seen))
            case Verdict.FIRST:
                return self._first(state, record.event, seen)

    def poison(
        self, state: CameraState, record: Record[FrameRecognized], started_at: datetime
    ) -> Step:
        """The outcome `failed(poison)` of a record on which `process` raised; moves no sighting."""
        verdict, known = judge(state.seen, record.event.frame, record.offset)
        seen = (known or self._entry(record, started_at))._replace(poisoned=True)
        if verdict is Verdict.FIRST:
            state = replace(state, seen=remember(state.seen, seen))
        return Step(state, self._failed(record, seen), poisoned=True)

    def close_silent(self, state: CameraState, camera_id: str) -> Step:
        """Close the open sightings of a camera from which nothing came for the gap."""
        stream, pushed = map(close_silent, state.feeds)
        return Step(
            replace(state, stream=stream.state, pushed=pushed.state),
            self._sightings(camera_id, (*stream.told, *pushed.told)),
        )

    def closed_by_silence(self, state: CameraState, camera_id: str) -> Sequence[Output]:
        """What `close_silent` said of this camera and still holds, byte for byte."""
        told = (sighting for feed in state.feeds for sighting in told_by(feed, None))
        return self._sightings(camera_id, tuple(told))

    def _first(self, state: CameraState, event: FrameRecognized, seen: Seen) -> Step:
        state = replace(state, seen=remember(state.seen, seen))
        feed = feed_of(event.frame)
        late = feed is not None and is_late(state.feed(feed), feed, event.frame)
        # No detection of a frame that failed is ever stored: none may be in a sighting.
        if feed is None or late or event.outcome is not Outcome.PROCESSED:
            return Step(state, self._outputs(event, seen))
        settled = _settled(state.seen, event.frame)
        change = follow(state.feed(feed), feed, event, self._policy, settled)
        moved = (
            replace(state, stream=change.state)
            if feed is Feed.STREAM
            else replace(state, pushed=change.state)
        )
        return Step(moved, self._outputs(event, seen, change.told, change.best))

    def _again(
        self, state: CameraState, record: Record[FrameRecognized], seen: Seen
    ) -> Sequence[Output]:
        if seen.poisoned:
            return self._failed(record, seen)
        event = record.event
        feed = feed_of(event.frame)
        if feed is None:
            return self._outputs(event, seen)
        told = told_by(state.feed(feed), event.frame.frame_key)
        return self._outputs(event, seen, told, best_among(state.feed(feed), event.faces))

    def _outputs(
        self,
        event: FrameRecognized,
        seen: Seen,
        told: Sequence[Sighting] = (),
        best: Iterable[tuple[str, RecognizedFace]] = (),
    ) -> Sequence[Output]:
        camera_id = event.frame.camera_id
        result = frame_result(event, seen.stage)
        return (
            Output(self._topics("results"), camera_id, result),
            *self._sightings(camera_id, told),
            *self._snapshots((*requested(event), *best_of_sightings(event, best))),
            *self._answers(event, result, seen),
        )

    def _failed(self, record: Record[FrameRecognized], seen: Seen) -> Sequence[Output]:
        event = record.event
        result = frame_result(event, seen.stage, poisoned=True)
        return (
            Output(self._topics("results"), event.frame.camera_id, result),
            *self._answers(event, result, seen),
            self._poisoned(record, seen),
        )

    def _answers(self, event: FrameRecognized, result: FrameResult, seen: Seen) -> Sequence[Output]:
        answer = frame_answer(event, result, seen.stage)
        return (
            [] if answer is None else [Output(self._topics("answers"), answer.request_id, answer)]
        )

    def _sightings(self, camera_id: str, told: Sequence[Sighting]) -> Sequence[Output]:
        return [Output(self._topics("sightings"), camera_id, sighting) for sighting in told]

    def _snapshots(self, snapshots: Sequence[Snapshot]) -> Sequence[Output]:
        topic = self._topics("snapshots")
        return [Output(topic, snapshot.camera_id, snapshot) for snapshot in snapshots]

    def _entry(self, record: Record[FrameRecognized], started_at: datetime) -> Seen:
        stage = StageTime(
            stage=STAGE,
            instance_id=self._instance_id,
            started_at=started_at,
            ended_at=self._clock.now(),
        )
        return first_seen(record.event.frame, record.offset, stage)

    def _poisoned(self, record: Record[FrameRecognized], seen: Seen) -> Output:
        frame = record.event.frame
        return Output(
            self._topics("events"),
            frame.camera_id,
            LogEvent(
                event_id=derived_id("evt", frame.frame_key, "poison"),
                event_type="frame_poisoned",
                occurred_at=seen.stage.ended_at,
                severity="error",
                service=STAGE,
                instance_id=seen.stage.instance_id,
                camera_id=frame.camera_id,
                camera_name=frame.camera_name,
                frame_id=frame.frame_id,
                message="The frame could not be aggregated; its bytes are a dead letter.",
                attributes={"frame_key": frame.frame_key, "offset": str(record.offset)},
            ),
        )


def _settled(seen: Sequence[Seen], frame: FrameHeader) -> Settled:
    """Asked seldom, and costly to know: worked out with the first question."""

    @cache
    def waiting() -> frozenset[str]:
        return unsettled(seen, frame.camera_id)

    return lambda cause: cause not in waiting()
