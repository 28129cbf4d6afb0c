import pytest

from inference.onnx_engine import provider_options
from inference.settings import InferenceSettings
from mesh.errors import ConfigurationError


def test_a_gpu_falls_back_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert InferenceSettings.load().devices == ["CPU"]
    monkeypatch.setenv("SIGHTLINE_DEVICE", "GPU-1")
    settings = InferenceSettings.load()
    assert settings.devices == ["GPU-1", "CPU"]
    timeouts = [settings.timeout(device) for device in (*settings.devices, "cloud")]
    assert timeouts == [5.0, 10.0, 30.0]


@pytest.mark.parametrize(
    ("device", "provider", "options"),
    [
        ("GPU-1", "CUDAExecutionProvider", {"device_id": "1"}),
        ("TENSORRT-1", "TensorrtExecutionProvider", {"device_id": "1", "trt_fp16_enable": "True"}),
        ("IGPU", "OpenVINOExecutionProvider", {"device_type": "GPU", "precision": "FP16"}),
    ],
)
def test_every_way_to_a_gpu_can_be_chosen_and_falls_back_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, device: str, provider: str, options: dict[str, str]
) -> None:
    monkeypatch.setenv("SIGHTLINE_DEVICE", device)
    settings = InferenceSettings.load()

    chosen = settings.running(device, engine=None, streams=1).options(threads=1)

    assert provider_options(chosen.device) == (provider, options)
    assert settings.devices == [device, "CPU"]
    assert settings.timeout(device) == 5.0


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


def test_the_cameras_of_a_gpu_are_named_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert InferenceSettings.load().cameras == []
    monkeypatch.setenv("SIGHTLINE_GPU_CAMERAS", "cam_a, cam_b,")
    assert InferenceSettings.load().cameras == ["cam_a", "cam_b"]
