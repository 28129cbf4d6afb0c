"""An RTSP address leads where the address policy looked, whatever the name says later."""

from collections.abc import Sequence

import pytest

from camera.adapters.checked_urls import CheckedUrls
from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy


def urls(*found: str, forbidden: str = "10.0.0.0/8") -> CheckedUrls:
    def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("camera", 554)
        if not found:
            raise OSError(-2, "Name or service not known")
        return found

    return CheckedUrls(AddressPolicy.parse(forbidden), resolve)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://camera/live?x=1", "rtsp://192.0.2.1/live?x=1"),
        ("rtsp://camera:554/live", "rtsp://192.0.2.1:554/live"),
        ("rtsp://guard:p%40ss@camera:554/", "rtsp://guard:p%40ss@192.0.2.1:554/"),
        ("rtsps://guard:p%40ss@camera:554/", "rtsps://guard:p%40ss@camera:554/"),
    ],
)
def test_the_address_takes_the_place_of_the_name(url: str, expected: str) -> None:
    assert urls("192.0.2.1").of(url) == [expected]


def test_all_addresses_of_a_host_are_told_in_their_order() -> None:
    found = urls("2001:db8::1", "192.0.2.1").of("rtsp://camera/live")
    assert found == ["rtsp://[2001:db8::1]/live", "rtsp://192.0.2.1/live"]


def test_a_name_that_changed_its_mind_is_refused() -> None:
    with pytest.raises(SourceError, match=r"leads to 10\.0\.0\.1") as caught:
        urls("192.0.2.1", "10.0.0.1").of("rtsp://camera/live")
    assert caught.value.code is ErrorCode.FORBIDDEN_ADDRESS


def test_a_name_without_an_address_is_unreachable() -> None:
    with pytest.raises(SourceError, match="camera is not known: Name") as caught:
        urls().of("rtsp://guard:secret@camera/live")
    assert caught.value.code is ErrorCode.UNREACHABLE
    assert "secret" not in str(caught.value)
