import pytest

from inference.settings import InferenceSettings
from mesh.errors import ConfigurationError


def test_a_gpu_falls_back_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert InferenceSettings.load().devices == ["CPU"]
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-1")
    settings = InferenceSettings.load()
    assert settings.devices == ["GPU-1", "CPU"]
    timeouts = [settings.timeout(device) for device in (*settings.devices, "cloud")]
    assert timeouts == [5.0, 10.0, 30.0]


def test_an_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DEVICE", "TPU")
    with pytest.raises(ConfigurationError, match="SIGHTLINE_DEVICE"):
        InferenceSettings.load()


def test_a_batch_must_last_longer_than_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_BATCH_TIMEOUT_S", "15")
    settings = InferenceSettings.load()
    settings.check_patience(["CPU"])
    with pytest.raises(ConfigurationError, match="SIGHTLINE_BATCH_TIMEOUT_S is 15"):
        settings.check_patience(["GPU-0", "CPU"])
