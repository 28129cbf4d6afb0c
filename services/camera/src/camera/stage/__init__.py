"""What the camera service does: keep the streams of this replica's cameras running."""

from camera.stage.cameras import CameraStage
from camera.stage.parts import StageParts

__all__ = ["CameraStage", "StageParts"]
