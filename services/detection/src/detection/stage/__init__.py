"""What detection does: a batch of captured frames in, what was detected in each out."""

from detection.domain.wishes import FACES
from detection.stage.frames import DetectionStage
from detection.stage.work import DetectionPolicy, Tools

TASK = FACES

__all__ = ["TASK", "DetectionPolicy", "DetectionStage", "Tools"]
