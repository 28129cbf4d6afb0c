"""What further models say of a face or a person, where a task asks them.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from dataclasses import dataclass

from mesh.events.frames import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Whether a face is a living one in front of the camera."""

    score: float
    """Probability that the face is real and no photo or screen, 0 to 1."""
    model_id: str
    """Model that judged, by its identifier in the model registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeGender:
    """An estimate of age and gender, only where the task age_gender asks for it."""

    age_group: str
    """Years from and to, for example 25-34; 65+ is the last."""
    gender: str
    """female or male, as the model sees it."""
    gender_confidence: float
    """Probability of the gender, 0.5 to 1."""
    model_id: str
    """Model that judged, by its identifier in the model registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceAttributes:
    """What further models say of a face; null unless a task asked for it and its model ran."""

    left_eye_openness: float | None = None
    """Height over width of the person's left eye (eye aspect ratio): near 0 closed, about 0.3
    open; looking down lowers it too.
    """
    right_eye_openness: float | None = None
    """Height over width of the person's right eye (eye aspect ratio): near 0 closed, about 0.3
    open; looking down lowers it too.
    """
    left_eye_blink: float | None = None
    """How far the person's left eye is closed (blendshape eyeBlink), 0 open to 1 closed."""
    right_eye_blink: float | None = None
    """How far the person's right eye is closed (blendshape eyeBlink), 0 open to 1 closed."""
    left_eye_open: float | None = None
    """Probability that the person's left eye is open, 0 to 1, of the eye-state model: a second
    vote.
    """
    right_eye_open: float | None = None
    """Probability that the person's right eye is open, 0 to 1, of the eye-state model: a second
    vote.
    """
    mouth_openness: float | None = None
    """Gap between the lips over the width of the mouth: 0 closed, above 0.5 wide open."""
    smile: float | None = None
    """How much both corners of the mouth are drawn up (blendshape mouthSmile), 0 to 1."""
    left_eye_contour: tuple[Point, ...] = ()
    """16 points around the person's left eye, in frame pixels, from the outer corner along the
    lower lid.
    """
    right_eye_contour: tuple[Point, ...] = ()
    """16 points around the person's right eye, in frame pixels, from the outer corner along the
    lower lid.
    """
    mouth_contour: tuple[Point, ...] = ()
    """20 points of the outer, then 20 of the inner edge of the lips, in frame pixels, from the
    corner at the person's right along the lower lip.
    """
    liveness: Liveness | None = None
    """Of the task liveness."""
    age_gender: AgeGender | None = None
    """Of the task age_gender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What somebody seems to do."""

    name: str
    """fall: lies where the same track stood upright shortly before."""
    score: float
    """How clearly the rule is met, 0 to 1; no probability."""
    model_id: str
    """What judged: fall-heuristic is a rule on the box of a person and its track."""
