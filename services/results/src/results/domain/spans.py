"""The trace of a frame, made at its end from the stage times that travelled with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from mesh.events import FrameHeader, FrameResult, Outcome, StageTime

FRAME = "frame"
"""The root span: from the reception of the picture to the end of its last stage."""
WRITER, SEND = "writer", "send"
STAGES = ("camera", "gateway", "detection", "recognition", "aggregator", WRITER, SEND)
"""Every stage that has metrics, in the order a frame meets them; a frame has one source."""
OTHER = "other"
"""Stands for a stage of an unknown name, so that labels stay few."""
_TRACE_BITS = 64
_TASKS = {"detection": "face-detection", "recognition": "face-recognition"}
Attributes = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a frame's way: the work of one stage, or the wait for it."""

    stage: str
    instance_id: str
    started_at: datetime
    ended_at: datetime
    wait: bool = False
    """True for the hop before the stage: publishing, the broker, and queues."""

    @property
    def seconds(self) -> float:
        """How long it took; never negative, whatever the clocks say."""
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as OTLP carries it; the same frame always makes the same identifiers."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str | None
    name: str
    service: str
    instance_id: str
    started_at: datetime
    ended_at: datetime
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None
    """The reason of a frame that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TailPolicy:
    """Which frames leave a trace, decided once they are through."""

    ratio: float = 0.01
    """Share of all frames, by trace id, 0 to 1."""
    budget: timedelta = timedelta(milliseconds=200)
    """A frame that took longer always leaves one."""

    def chooses(self, result: FrameResult, trace_id: str) -> bool:
        """Whether writer and gateways export this frame: each decides alike by itself."""
        if result.outcome is Outcome.FAILED or self.is_slow(result.frame, ended_at(result)):
            return True
        return int(trace_id[16:], 16) < self.ratio * (1 << _TRACE_BITS)

    def is_slow(self, frame: FrameHeader, until: datetime) -> bool:
        """Whether the frame had used up its budget by then."""
        return until - frame.received_timestamp > self.budget


def trace_of(frame_key: str, trace_id: str | None) -> str:
    """The trace that the frame's records name; without one the frame's own key, which fits."""
    return trace_id or frame_key.replace("-", "")


def ended_at(result: FrameResult) -> datetime:
    """When the last stage was done."""
    moments = [stage.ended_at for stage in result.stages]
    return max(moments, default=result.frame.received_timestamp)


def legs(stages: Sequence[StageTime]) -> Iterator[Leg]:
    """The stages in their order, each after the wait for it."""
    before: StageTime | None = None
    for stage in sorted(stages, key=lambda each: each.started_at):
        if before is not None:
            yield wait_for(before.ended_at, stage)
        yield Leg(stage.stage, stage.instance_id, stage.started_at, stage.ended_at)
        before = stage


def wait_for(since: datetime, stage: StageTime) -> Leg:
    """The hop between the end of one stage and the start of the next.

    Clocks of two machines may differ; a wait that would be negative is none.
    """
    started_at = min(since, stage.started_at)
    return Leg(stage.stage, stage.instance_id, started_at, stage.started_at, wait=True)


def last_legs(result: FrameResult, stage: StageTime) -> tuple[Leg, Leg]:
    """Wait and work of a stage that no record carries: the writer's, or a gateway's sending."""
    work = Leg(stage.stage, stage.instance_id, stage.started_at, stage.ended_at)
    return wait_for(ended_at(result), stage), work


def spans_of(result: FrameResult, trace_id: str) -> list[Span]:
    """The frame's root span and one below it for every stage and hop; a pure function."""
    frame = result.frame
    root = Span(
        trace_id=trace_id,
        span_id=span_id(frame.frame_key, FRAME),
        parent_id=None,
        name=FRAME,
        service=result.stages[0].stage if result.stages else "results",
        instance_id=result.stages[0].instance_id if result.stages else "",
        started_at=frame.received_timestamp,
        ended_at=ended_at(result),
        attributes=_of_frame(result),
        error=(result.reason or "unknown") if result.outcome is Outcome.FAILED else None,
    )
    return [root, *(_of_leg(result, leg, trace_id) for leg in legs(result.stages))]


def last_spans(result: FrameResult, trace_id: str, stage: StageTime) -> list[Span]:
    """The spans of the writer, or of a gateway's sending; they end after the root, beside it."""
    spans = [_of_leg(result, leg, trace_id) for leg in last_legs(result, stage)]
    return [replace(span, service="results") for span in spans]


def span_id(frame_key: str, *place: str) -> str:
    """The identifier of one span of a frame: the same whenever it is made again."""
    return sha256("/".join((frame_key, *place)).encode()).hexdigest()[:16]


def _of_leg(result: FrameResult, leg: Leg, trace_id: str) -> Span:
    frame = result.frame
    name = f"wait {leg.stage}" if leg.wait else leg.stage
    own = (name, leg.instance_id) if leg.stage == SEND else (name,)
    attributes: dict[str, str | int | float] = {
        "camera_id": frame.camera_id,
        "frame_key": frame.frame_key,
    }
    models = [use.model_id for use in result.models if use.task == _TASKS.get(leg.stage)]
    if models and not leg.wait:
        attributes["model"] = ",".join(models)
    return Span(
        trace_id=trace_id,
        span_id=span_id(frame.frame_key, *own),
        parent_id=span_id(frame.frame_key, FRAME),
        name=name,
        service=leg.stage,
        instance_id=leg.instance_id,
        started_at=leg.started_at,
        ended_at=leg.ended_at,
        attributes=attributes,
    )


def _of_frame(result: FrameResult) -> Attributes:
    frame = result.frame
    faces = sum(1 for item in result.detections if item.detection_type == "face")
    return {
        "camera_id": frame.camera_id,
        "frame_key": frame.frame_key,
        "sequence_number": frame.sequence_number,
        "outcome": str(result.outcome),
        "reason": result.reason or "",
        "lane": str(frame.lane),
        "purpose": str(frame.purpose),
        "model": ",".join(use.model_id for use in result.models),
        "faces": faces,
    }
