"""What the camera service does: keep the streams of this replica's cameras running."""

from camera.stage.cameras import CameraStage
from camera.stage.discovery import CameraSearch
from camera.stage.parts import StageParts
from camera.stage.turns import ThreadTurns, Turns

__all__ = ["CameraSearch", "CameraStage", "StageParts", "ThreadTurns", "Turns"]
