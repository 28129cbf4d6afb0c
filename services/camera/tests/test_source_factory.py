from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import SecretStr
from services.camera.tests.doubles import FakeSource

from camera.adapters.sources import Sources
from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from mesh.addresses import AddressPolicy
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError
from mesh.events import Camera, StreamConfig, StreamType
from mesh.testing import a_camera


class Makers:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.passwords: list[str | None] = []

    def __call__(self, camera: Camera, password: str | None) -> FrameSource:
        del camera
        self.passwords.append(password)
        return FakeSource([None])


def sources(
    maker: Makers, decrypt: Callable[[bytes], bytes] = bytes, forbidden: str = "10.0.0.0/8"
) -> Sources:
    return Sources(
        {StreamType.RTSP: maker, StreamType.FILE: maker},
        decrypt=decrypt,
        policy=AddressPolicy.parse(forbidden),
        resolve=lambda host, _: ["192.0.2.1", "10.0.0.1"] if host == "inside" else ["192.0.2.1"],
    )


def an_rtsp(url: str | None = "rtsp://camera/live", token: bytes | None = None) -> StreamConfig:
    return StreamConfig(stream_type=StreamType.RTSP, url=url, password_encrypted=token)


def refusal(stream: StreamConfig, decrypt: Callable[[bytes], bytes] = bytes) -> SourceError:
    maker = Makers()
    with pytest.raises(SourceError) as caught:
        sources(maker, decrypt)(a_camera(stream=stream))
    assert not maker.passwords
    return caught.value


def test_a_camera_is_made_by_the_maker_of_its_kind_with_the_password_in_clear_text() -> None:
    cipher, maker = Cipher(SecretStr(Cipher.new_key())), Makers()
    camera = a_camera(stream=an_rtsp(token=cipher.encrypt("p@ss/wörd".encode())))
    sources(maker, cipher.decrypt)(camera)
    without = replace(camera, stream=an_rtsp())
    sources(maker, cipher.decrypt)(without)
    assert maker.passwords == ["p@ss/wörd", None]
    assert "p@ss" not in repr(camera)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (an_rtsp(None), "url is missing"),
        (an_rtsp("file:///etc/hostname"), "begins with rtsp"),
        (an_rtsp("gopher://camera/"), "begins with rtsp"),
        (StreamConfig(stream_type=StreamType.FILE, url="concat:/a|/b"), "url has the scheme"),
        (StreamConfig(stream_type=StreamType.USB, device_id=0), "cannot be read, only RTSP, FILE"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(stream: StreamConfig, words: str) -> None:
    error = refusal(stream)
    assert error.code is ErrorCode.UNSUPPORTED
    assert words in str(error)


@pytest.mark.parametrize("host", ["10.0.0.1", "0xa.1", "[::ffff:10.0.0.1]", "inside"])
def test_what_leads_to_a_forbidden_network_is_refused(host: str) -> None:
    error = refusal(an_rtsp(f"rtsp://{host}/"))
    assert error.code is ErrorCode.FORBIDDEN_ADDRESS
    assert error.code.needs_people
    assert "leads to 10.0.0.1" in str(error)


@pytest.mark.parametrize(
    "stream",
    [an_rtsp("rtsp://camera/{password}"), replace(an_rtsp(), sub_url="rtsp://camera/{password}")],
)
def test_an_address_that_wants_a_password_needs_one(stream: StreamConfig) -> None:
    assert refusal(stream).code is ErrorCode.UNAUTHORIZED
    maker = Makers()
    sources(maker)(a_camera(stream=replace(stream, password_encrypted=b"secret")))
    assert maker.passwords == ["secret"]


@pytest.mark.parametrize("opened", [None, b"\xff"])
def test_a_password_that_cannot_be_opened_is_an_authorisation_error(opened: bytes | None) -> None:
    def decrypt(_: bytes) -> bytes:
        if opened is None:
            raise ConfigurationError("none of the keys opens what is stored")
        return opened

    error = refusal(an_rtsp(token=b"token"), decrypt)
    assert error.code is ErrorCode.UNAUTHORIZED
    assert "cannot be opened" in str(error)
