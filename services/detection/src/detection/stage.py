"""The use case: a batch of captured frames in, what was detected in each out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.domain.batching import portions
from detection.domain.chip import (
    affordable_grades,
    chip_size,
    chip_window,
    into_chip,
    visible_share,
    within_budget,
)
from detection.domain.face import Picture, RawFace
from detection.domain.picture import UnreadableImageError
from detection.domain.pose import estimate_pose
from detection.domain.quality import QualityPolicy, measure, rejections
from detection.domain.report import (
    PROCESSED,
    Ending,
    Shift,
    failed,
    frame_detected,
    goes_to_ledger_only,
    ledger_entries,
    shed,
)
from detection.domain.selection import face_filter, select_faces, wants_faces
from detection.ports import (
    EngineError,
    FaceCutter,
    FaceDetector,
    FaceTracker,
    FrameStore,
    ImageDecoder,
    ImageUnavailableError,
    InferenceMeter,
)
from mesh.clock import Clock
from mesh.events import DetectedFace, FaceChip, FrameCaptured, ModelUse, Outcome, Purpose
from mesh.identity import detection_id
from mesh.record import Record
from mesh.stage import Emit, Output, Reject
from mesh.topics import Topics

TASK = "face-detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPolicy:
    """What the operator decides about detection, beyond what travels with each frame."""

    quality: QualityPolicy = field(default_factory=QualityPolicy)
    """Floor below which a face is reported as unfit for recognition."""
    chip_budget: int = 512 * 1024
    """Bytes that the chips of one frame may take together."""
    max_pixels: int = 64_000_000
    """Pixels that are decoded at once, 3 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The adapters that the stage works with."""

    detector: FaceDetector
    tracker: FaceTracker
    decoder: ImageDecoder
    cutter: FaceCutter
    frames: FrameStore
    meter: InferenceMeter
    clock: Clock


@dataclass(slots=True)
class _Task:
    """One frame on its way through a batch."""

    event: FrameCaptured
    ending: Ending = PROCESSED
    image: Picture | None = None
    found: list[RawFace] = field(default_factory=list)
    models: tuple[ModelUse, ...] = ()


class DetectionStage:
    """Finds the faces of frames: decode, detect, filter, follow, measure, cut chips.

    A frame that cannot be read or that the engine refuses fails alone.
    """

    def __init__(
        self,
        *,
        tools: Tools,
        policy: DetectionPolicy,
        topics: Topics,
        instance_id: str,
    ) -> None:
        self._tools = tools
        self._policy = policy
        self._topics = topics
        self._instance_id = instance_id

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        """Detect in every frame; one engine call unless the pictures are huge."""
        events = [record.event for record in batch]
        return [
            outcome
            for portion in portions(events, self._policy.max_pixels)
            for outcome in self._process(portion)
        ]

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        """Report frames that will not be processed; shed surveillance only in the ledger."""
        now = self._tools.clock.now()
        shift = Shift(instance_id=self._instance_id, started_at=now, ended_at=now)
        ending = Ending(outcome=Outcome(outcome), reason=reason)
        return self._report([_Task(record.event, ending) for record in batch], shift)

    def _process(self, events: Sequence[FrameCaptured]) -> list[Emit]:
        started = self._tools.clock.now()
        tasks = [_Task(event) for event in events]
        for task in tasks:
            self._read(task)
        self._detect([task for task in tasks if task.image is not None])
        faces = [self._faces(task) for task in tasks]
        ended = self._tools.clock.now()
        shift = Shift(instance_id=self._instance_id, started_at=started, ended_at=ended)
        return self._report(tasks, shift, faces)

    def _read(self, task: _Task) -> None:
        """Decode the picture, unless the frame ends here or holds nothing to look for."""
        event = task.event
        deadline = event.frame.deadline
        if deadline is not None and deadline <= self._tools.clock.now():
            task.ending = shed("deadline")
        elif event.request is not None and not event.request.model_type.startswith("face-"):
            task.ending = failed("model_unavailable")
        elif wants_faces(event):
            try:
                task.image = self._tools.decoder.decode(self._bytes_of(event))
            except UnreadableImageError as error:
                task.ending = failed(f"unreadable_image: {error.reason}")
            except ImageUnavailableError:
                task.ending = failed("image_ref_unavailable")

    def _bytes_of(self, event: FrameCaptured) -> bytes:
        if event.image_ref is not None:
            return self._tools.frames.load(event.image_ref)
        return event.image or b""

    def _detect(self, tasks: Sequence[_Task]) -> None:
        """Run the engine on all pictures at once; if it fails, on each alone."""
        if not tasks:
            return
        try:
            self._run(tasks)
        except EngineError:
            for task in tasks:
                self._detect_alone(task)

    def _detect_alone(self, task: _Task) -> None:
        try:
            self._run([task])
        except EngineError:
            self._tools.meter.failed()
            task.ending = failed("engine_error")
            task.image = None

    def _run(self, tasks: Sequence[_Task]) -> None:
        clock, detector = self._tools.clock, self._tools.detector
        started = clock.monotonic()
        found = detector.detect([task.image for task in tasks if task.image is not None])
        seconds = clock.monotonic() - started
        self._tools.meter.worked(len(tasks), seconds)
        info = detector.info
        use = ModelUse(
            task=TASK,
            model_id=info.model_id,
            name=info.name,
            version=info.version,
            device=info.device,
            engine=info.engine,
            latency_ms=1000.0 * seconds / len(tasks),
        )
        for task, faces in zip(tasks, found, strict=True):
            task.found, task.models = faces, (use,)

    def _faces(self, task: _Task) -> list[DetectedFace]:
        """The faces to report, largest first, with tracks, quality and chips."""
        if task.image is None:
            return []
        height, width = task.image.shape[:2]
        faces = select_faces(task.found, face_filter(task.event), width=width, height=height)
        frame = task.event.frame
        tracks: Sequence[str | None] = [None] * len(faces)
        if frame.purpose is Purpose.SURVEILLANCE:
            tracks = self._tools.tracker.follow(frame, faces)
        chips = self._chips(task.image, faces)
        described = []
        for index, (face, track, chip) in enumerate(zip(faces, tracks, chips, strict=True)):
            pose = estimate_pose(face.landmarks)
            grey = self._tools.cutter.grey(task.image, face.box)
            visible = visible_share(face.box, width=width, height=height)
            quality = measure(grey, face, pose, self._policy.quality, visible=visible)
            described.append(
                DetectedFace(
                    index=index,
                    detection_id=detection_id(frame.frame_key, index),
                    box=face.box,
                    confidence=face.confidence,
                    landmarks=face.landmarks,
                    track_id=track,
                    quality=quality,
                    pose=pose,
                    chip=chip,
                    rejections=rejections(face, quality, pose, self._policy.quality),
                )
            )
        return described

    def _chips(self, image: Picture, faces: Sequence[RawFace]) -> list[FaceChip | None]:
        """A chip of each face, as good as the budget allows; the smallest may go without."""
        windows = [chip_window(face.box) for face in faces]
        budget = self._policy.chip_budget
        chips: list[FaceChip] = []
        for grade in affordable_grades(windows, budget):
            chips = []
            for face, window in zip(faces, windows, strict=True):
                size = chip_size(window, grade)
                chips.append(
                    FaceChip(
                        image=self._tools.cutter.chip(
                            image, window, size=size, quality=grade.quality
                        ),
                        width=size,
                        height=size,
                        landmarks=into_chip(face.landmarks, window, size),
                    )
                )
            if within_budget([len(chip.image) for chip in chips], budget) == len(chips):
                break
        kept = within_budget([len(chip.image) for chip in chips], budget)
        return [*chips[:kept], *([None] * (len(chips) - kept))]

    def _report(
        self,
        tasks: Sequence[_Task],
        shift: Shift,
        faces: Sequence[Sequence[DetectedFace]] | None = None,
    ) -> list[Emit]:
        """An outcome per frame; ledger entries of the whole batch leave with its first frame."""
        silent = [
            (task.event.frame, task.ending)
            for task in tasks
            if goes_to_ledger_only(task.event.frame, task.ending)
        ]
        entries = ledger_entries(silent, instance_id=self._instance_id, reported_at=shift.ended_at)
        outputs: list[list[Output]] = [[] for _ in tasks]
        topic = self._topics("ledger")
        outputs[0] += [Output(topic, entry.camera_id, entry) for entry in entries]
        for task, found, leaving in zip(tasks, faces or [()] * len(tasks), outputs, strict=True):
            if not goes_to_ledger_only(task.event.frame, task.ending):
                event = frame_detected(
                    task.event, task.ending, shift, faces=found, models=task.models
                )
                leaving.append(Output(self._topics("detections"), event.frame.camera_id, event))
        return [Emit(leaving) for leaving in outputs]
