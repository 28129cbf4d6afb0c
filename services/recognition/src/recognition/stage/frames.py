"""Frames: embed every face in hand at once, fuse tracks, search once, decide per frame."""

from collections.abc import Sequence
from datetime import datetime
from itertools import repeat

import numpy as np

from inference.chain import ChainTimeoutError
from inference.engine import EngineError
from mesh.events import (
    Decision,
    FrameDetected,
    FrameRecognized,
    ModelUse,
    Outcome,
    Purpose,
    RecognizedFace,
    StageTime,
)
from mesh.record import Record
from mesh.stage import Emit, Output, Reject
from recognition.domain.embedding import Mean, is_zero, to_event
from recognition.domain.fusion import TrackFusion, TrackKey, TrackSample
from recognition.domain.matching import MatchPolicy, Searched, decide
from recognition.ports import FaceEmbedder, Gallery, Surroundings
from recognition.stage.enrollment import Enroller
from recognition.stage.gate import overdue
from recognition.stage.work import FaceWork, FrameWork, Photo

STAGE = "recognition"


class RecognitionStage:
    """Names the faces of frames, and hands enrolment photos to the registry.

    Used from one thread: the fused tracks are its own.
    """

    def __init__(
        self,
        *,
        embedder: FaceEmbedder,
        gallery: Gallery,
        enroller: Enroller,
        fusion: TrackFusion,
        policy: MatchPolicy,
        around: Surroundings,
    ) -> None:
        self._embedder = embedder
        self._gallery = gallery
        self._enroller = enroller
        self._fusion = fusion
        self._policy = policy
        self._clock = around.clock
        self._topics = around.topics
        self._instance_id = around.instance_id
        self._model = around.model
        self._outage = False
        """The batch before could not be finished."""

    def process(self, batch: Sequence[Record[FrameDetected]]) -> Sequence[Emit | Reject]:
        """Recognise the faces of a batch of frames.

        Raises:
            TransientError: the gallery or the registry cannot be reached; nothing was decided.
        """
        started = self._clock.now()
        frames = [FrameWork.of(record.event) for record in batch]
        if self._outage:
            self._shed_overdue(frames, started)
        self._outage = True
        latency_ms = self._embed(frames)
        self._fuse(frames)
        self._search(frames)
        outcomes = [self._finish(frame, started, latency_ms) for frame in frames]
        self._outage = False
        return outcomes

    def give_up(
        self, batch: Sequence[Record[FrameDetected]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """The frames leave without recognition; who waits for an enrolment is told."""
        frames = [FrameWork.of(record.event) for record in batch]
        for frame in frames:
            frame.outcome, frame.reason = Outcome(outcome), reason
        return [self._finish(frame, self._clock.now(), 0.0) for frame in frames]

    def _shed_overdue(self, frames: Sequence[FrameWork], now: datetime) -> None:
        """A batch that waits for the gallery or the registry ages instead of going on unknown."""
        for frame in frames:
            reason = overdue(frame.event, now) if frame.needs_gallery else None
            if reason is not None:
                frame.outcome, frame.reason = Outcome.SHED, reason

    def _embed(self, frames: Sequence[FrameWork]) -> float:
        """Embed all wanted faces in one call; milliseconds per frame that had any.

        If the engine fails, each frame is tried alone; one that it refuses even then fails.
        """
        wanted = [frame for frame in frames if any(frame.chips_wanted())]
        if not wanted:
            return 0.0
        began = self._clock.monotonic()
        try:
            self._embed_together(wanted)
        except EngineError as error:
            for frame in wanted if len(wanted) > 1 else ():
                self._embed_alone(frame)
            if len(wanted) == 1:
                _fail(wanted[0], error)
        return (self._clock.monotonic() - began) * 1000.0 / len(wanted)

    def _embed_alone(self, frame: FrameWork) -> None:
        try:
            self._embed_together([frame])
        except EngineError as error:
            _fail(frame, error)

    def _embed_together(self, frames: Sequence[FrameWork]) -> None:
        faces = [face for frame in frames for face in frame.chips_wanted()]
        vectors = self._embedder.embed([face.detected.chip for face in faces if face.detected.chip])
        for face, vector in zip(faces, vectors, strict=True):
            face.vector = None if is_zero(vector) else vector

    def _fuse(self, frames: Sequence[FrameWork]) -> None:
        """Average each face with the earlier pictures of its track."""
        for frame in frames:
            for face in frame.faces if frame.identifies else ():
                if face.vector is not None:
                    face.fused = self._fused(frame, face)

    def _fused(self, frame: FrameWork, face: FaceWork) -> Mean | None:
        if face.vector is None or face.detected.track_id is None:
            return face.vector if face.vector is None else Mean(face.vector, 1.0, 1)
        header = frame.event.frame
        sample = TrackSample(
            frame_key=header.frame_key,
            sequence_number=header.sequence_number,
            vector=face.vector,
            quality=face.detected.quality.score,
        )
        key = TrackKey(header.camera_id, header.epoch, face.detected.track_id)
        return self._fusion.fuse(key, sample, self._clock.monotonic())

    def _search(self, frames: Sequence[FrameWork]) -> None:
        """Search the gallery for all fused faces in one call."""
        wanted = [
            (frame.collection, face, face.fused)
            for frame in frames
            for face in frame.faces
            if face.fused is not None
        ]
        version = self._gallery.version()
        if wanted:
            probes = np.stack([fused.vector for _, _, fused in wanted])
            result = self._gallery.search(
                probes, [collection for collection, _, _ in wanted], self._policy.candidates + 1
            )
            version = result.version
            for (_, face, _), matches in zip(wanted, result.matches, strict=True):
                face.matches = matches
        for frame in frames:
            frame.version = version

    def _finish(self, frame: FrameWork, started: datetime, latency_ms: float) -> Emit | Reject:
        event = frame.event
        outputs = []
        if event.frame.purpose is Purpose.ENROLLMENT:
            photo = Photo.of(frame)
            if photo is None:
                return Reject("a frame of the purpose enrollment lacks request.enrollment")
            answer = self._enroller.enroll(photo)
            outputs.append(Output(self._topics("answers"), answer.request_id, answer))
        recognized = FrameRecognized(
            frame=event.frame,
            outcome=frame.outcome,
            reason=frame.reason,
            faces=self._faces(frame),
            objects=event.objects,
            detection=event.detection,
            request=event.request,
            models=(*event.models, *self._model_use(frame, latency_ms)),
            stages=(*event.stages, self._stage_time(started)),
        )
        topic = self._topics("recognitions")
        return Emit((Output(topic, event.frame.camera_id, recognized), *outputs))

    def _faces(self, frame: FrameWork) -> tuple[RecognizedFace, ...]:
        decisions: Sequence[Decision | None] = (
            self._decide(frame) if frame.identifies else list(repeat(None, len(frame.faces)))
        )
        private = frame.event.frame.purpose is Purpose.ENROLLMENT
        model_id = self._model.model_id
        return tuple(
            RecognizedFace(
                face=face.detected,
                embedding=None
                if private or face.vector is None
                else to_event(face.vector, model_id=model_id, dtype=frame.dtype),
                decision=decision,
            )
            for face, decision in zip(frame.faces, decisions, strict=True)
        )

    def _decide(self, frame: FrameWork) -> Sequence[Decision]:
        size = self._gallery.size(frame.collection)
        searched = Searched(self._model.model_id, frame.version)
        return decide([face.probe(size) for face in frame.faces], searched, self._policy)

    def _model_use(self, frame: FrameWork, latency_ms: float) -> tuple[ModelUse, ...]:
        if not any(face.vector is not None for face in frame.faces):
            return ()
        info = self._embedder.info
        use = ModelUse(
            task="face-recognition",
            model_id=info.model_id,
            name=info.name,
            version=info.version,
            device=info.device,
            engine=info.engine,
            latency_ms=latency_ms,
            embedding_size=info.dim,
            fallback_used=info.fallback_used,
        )
        return (use,)

    def _stage_time(self, started: datetime) -> StageTime:
        return StageTime(
            stage=STAGE,
            instance_id=self._instance_id,
            started_at=started,
            ended_at=self._clock.now(),
        )


def _fail(frame: FrameWork, error: EngineError) -> None:
    hung = isinstance(error, ChainTimeoutError)
    frame.outcome, frame.reason = Outcome.FAILED, "model_timeout" if hung else "engine_error"
