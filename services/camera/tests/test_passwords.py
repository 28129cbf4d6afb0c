"""A key that changes leaves passwords, and connections, as they are."""

import pytest
from pydantic import SecretStr
from services.camera.tests.doubles import FakeSource, Setting, a_live_camera, frames, until

from camera.adapters.passwords import Passwords
from camera.stage import CameraStage
from mesh.crypto import Cipher
from mesh.events import Camera, StreamConfig, StreamType
from mesh.testing import CAMERA_ID

OLD, NEW = Cipher.new_key(), Cipher.new_key()


def token(key: str, password: str = "s3cret") -> bytes:
    return Cipher(SecretStr(key)).encrypt(password.encode())


def passwords(*keys: str) -> Passwords:
    return Passwords(Cipher(SecretStr(",".join(keys))).decrypt)


def test_the_same_password_under_another_key_is_the_same() -> None:
    both = passwords(NEW, OLD)
    assert both.same(token(OLD), token(NEW))
    assert not both.same(token(OLD), token(NEW, "other"))
    assert not both.same(None, token(NEW))
    assert both.same(None, None)


def test_a_token_that_cannot_be_opened_is_the_same_as_itself_alone() -> None:
    stored = token(OLD)
    assert passwords(NEW).same(stored, stored)
    assert not passwords(NEW).same(stored, token(NEW))


def protected(password: bytes) -> Camera:
    stream = StreamConfig(
        stream_type=StreamType.RTSP, url="rtsp://camera/live", password_encrypted=password
    )
    return a_live_camera(stream=stream)


@pytest.mark.parametrize(("after", "connections"), [("s3cret", 1), ("other", 2)])
async def test_a_password_that_was_only_encrypted_anew_keeps_the_connection(
    setting: Setting, after: str, connections: int
) -> None:
    setting.same_password = passwords(NEW, OLD).same
    stage = CameraStage(setting.parts(), partition_of=lambda _: 0)
    stage.assigned([0])
    stage.registry_known()
    setting.sources.prepared[CAMERA_ID] = [FakeSource(frames(1)), FakeSource(frames(1))]
    stage.changed(CAMERA_ID, protected(token(OLD)))
    await until(lambda: setting.frames.epochs)
    stage.changed(CAMERA_ID, protected(token(NEW, after)))
    await until(lambda: len(setting.frames.epochs) == connections)
    assert len(setting.sources.made) == connections
    stage.stop()
