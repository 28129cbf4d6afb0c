from pathlib import Path

import pytest

from local.packs import live_fps
from local.source import of_camera, of_clip
from mesh.errors import ConfigurationError


def test_a_cameras_password_leaves_its_address() -> None:
    source = of_camera("rtsp://ada:p%40ss@camera.lan:554/stream1?profile=2")
    assert source.stream == {
        "stream_type": "RTSP",
        "rtsp_url": "rtsp://camera.lan:554/stream1?profile=2",
        "username": "ada",
        "password": "p@ss",
    }
    assert source.name == "camera.lan"


def test_a_camera_without_credentials_has_none() -> None:
    assert set(of_camera("rtsp://10.0.0.7/1").stream) == {"stream_type", "rtsp_url"}


@pytest.mark.parametrize("url", ["http://camera/", "camera.lan", "rtsp:///stream", ""])
def test_an_address_that_is_no_camera_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CAMERA must look like rtsp://"):
        of_camera(url)


def test_a_clip_is_played_from_its_file(tmp_path: Path) -> None:
    clip = tmp_path / "my clip.mp4"
    clip.touch()
    source = of_clip(clip)
    assert source.stream == {"stream_type": "FILE", "path": str(clip)}
    assert source.name == "my clip"
    with pytest.raises(ConfigurationError, match="VIDEO: there is no file"):
        of_clip(tmp_path / "absent.mp4")


def test_the_frame_rate_adapts_to_the_pack() -> None:
    assert live_fps("dlib", 12.0) == 1.0
    assert live_fps("yunet-omz", 12.0) == 4.0
    assert live_fps("yunet-omz", 2.0) == 2.0
