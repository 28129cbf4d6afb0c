import pytest

from detection.settings import DetectionSettings
from mesh.errors import ConfigurationError


def test_age_and_gender_are_loaded_only_if_the_operator_says_so() -> None:
    assert "age_gender" not in DetectionSettings().tasks
    assert DetectionSettings(detection_tasks="face, age_gender").tasks == ["face", "age_gender"]
    with pytest.raises(ConfigurationError, match="gaze"):
        _ = DetectionSettings(detection_tasks="face,gaze").tasks
