"""What recognition does: name the faces of frames, enrol photos, carry out commands."""

from recognition.ports import Surroundings
from recognition.stage.commands import CommandStage
from recognition.stage.enrollment import Enroller
from recognition.stage.frames import RecognitionStage
from recognition.stage.gate import GalleryGate
from recognition.stage.reembedding import Reembedder

__all__ = [
    "CommandStage",
    "Enroller",
    "GalleryGate",
    "RecognitionStage",
    "Reembedder",
    "Surroundings",
]
