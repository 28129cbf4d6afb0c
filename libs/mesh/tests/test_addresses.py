from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.addresses import (
    CLOUD_METADATA,
    AddressError,
    AddressPolicy,
    ForbiddenAddressError,
    endpoints,
    inner,
    literal,
    resolve,
)
from mesh.errors import ConfigurationError
from mesh.events import StreamConfig, StreamType
from mesh.settings import MeshSettings

LOOPBACK = AddressPolicy.parse("127.0.0.0/8, ::1")
METADATA = AddressPolicy.parse(CLOUD_METADATA)


def an_rtsp(url: str | None, sub_url: str | None = None) -> StreamConfig:
    return StreamConfig(stream_type=StreamType.RTSP, url=url, sub_url=sub_url)


def a_socket(host: str | None, port: int | None = 9000) -> StreamConfig:
    return StreamConfig(stream_type=StreamType.SOCKET, host=host, port=port)


def nobody(host: str, port: int) -> Sequence[str]:
    raise OSError(f"{host}:{port} has no address")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.10",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "localhost",
        "LOCALHOST.",
        "camera.localhost",
        "[::1]",
        "::1",
        "0:0:0:0:0:0:0:1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "::1%lo",
    ],
)
def test_a_forbidden_address_is_known_in_every_spelling(host: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="connects to nothing"):
        LOOPBACK.check_literal(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "camera.example", "cafe", "0x", "1.2.3.4.5", "::2", "fe80::1%eth0", ""]
)
def test_what_is_not_forbidden_is_allowed(host: str) -> None:
    LOOPBACK.check_literal(host)


def test_a_name_that_leads_to_one_forbidden_address_is_refused() -> None:
    METADATA.check("camera", ["10.0.0.1", "fe80::1%eth0"])
    with pytest.raises(ForbiddenAddressError, match=r"camera leads to 169\.254\.169\.254"):
        METADATA.check("camera", ["10.0.0.1", "::ffff:169.254.169.254"])


def test_the_metadata_of_clouds_are_forbidden_unless_told_otherwise() -> None:
    for address in ("169.254.169.254", "metadata.google.internal", "fd00:ec2::254"):
        with pytest.raises(ForbiddenAddressError):
            MeshSettings().address_policy.check_literal(address)
    MeshSettings(forbidden_networks="").address_policy.check_literal("169.254.169.254")


def test_a_network_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_FORBIDDEN_NETWORKS", "10.0.0.0/8, everything")
    with pytest.raises(ConfigurationError, match=r"FORBIDDEN_NETWORKS.*everything"):
        MeshSettings.load()


@given(st.integers(0, 2**32 - 1))
def test_every_spelling_of_an_address_names_that_address(number: int) -> None:
    address = IPv4Address(number)
    parts = address.packed
    for spelling in (str(address), str(number), hex(number), ".".join(map(hex, parts))):
        assert literal(spelling) == (address,)
    for embedding in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert inner(ip_address(embedding)) == address


@given(st.text())
def test_no_host_confuses_the_policy(host: str) -> None:
    assert len(literal(host)) <= 2


def test_an_address_of_another_kind_stands_for_itself() -> None:
    assert inner(IPv6Address("2001:db8::1")) == IPv6Address("2001:db8::1")
    assert inner(IPv6Address("::1")) == IPv6Address("::1")


def test_a_stream_leads_to_the_hosts_of_its_addresses() -> None:
    both = an_rtsp("rtsp://camera/1", sub_url="rtsps://user@[::1]:9000/2")
    assert [(each.field, each.host, each.port) for each in endpoints(both)] == [
        ("url", "camera", 554),
        ("sub_url", "::1", 9000),
    ]
    assert [(each.host, each.port) for each in endpoints(a_socket("camera"))] == [("camera", 9000)]
    for stream in (
        StreamConfig(stream_type=StreamType.USB, device_id=0),
        StreamConfig(stream_type=StreamType.FILE, url="/videos/a.mp4"),
        StreamConfig(stream_type=StreamType.FILE, url="file:///videos/a.mp4"),
    ):
        assert not endpoints(stream)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (an_rtsp(None), "url is missing: a RTSP stream needs one"),
        (an_rtsp("file:///etc/passwd"), "url has the scheme 'file'"),
        (an_rtsp("gopher://host/1"), "url has the scheme 'gopher'"),
        (an_rtsp("http://host/1"), "begins with rtsp:// or rtsps://"),
        (an_rtsp("concat:rtsp://a|rtsp://b"), "url has the scheme 'concat'"),
        (an_rtsp("rtsp:///path"), "url has no host"),
        (an_rtsp("rtsp://host:0/"), "url has the port 0"),
        (an_rtsp("rtsp://host:port/"), "url is malformed"),
        (an_rtsp("rtsp://[::1/"), "url is malformed"),
        (an_rtsp("rtsp://good\\@evil/"), "url holds characters"),
        (an_rtsp("rtsp://host/ a"), "url holds characters"),
        (an_rtsp("rtsp://hóst/"), "url holds characters"),
        (an_rtsp("rtsp://host/", sub_url="file:///x"), "sub_url has the scheme 'file'"),
        (a_socket(None), "host must name"),
        (a_socket("host/path"), "host must name"),
        (a_socket("host", None), "port must name"),
        (a_socket("host", 65536), "port must name"),
        (StreamConfig(stream_type=StreamType.FILE), "url is missing"),
        (StreamConfig(stream_type=StreamType.FILE, url="http://host/a.mp4"), "has a path or"),
        (StreamConfig(stream_type=StreamType.FILE, url="file://host/a"), "has a path or"),
        (StreamConfig(stream_type=StreamType.FILE, url="concat:/a|/b"), "has a path or"),
    ],
)
def test_an_address_that_a_stream_cannot_have_is_named(stream: StreamConfig, words: str) -> None:
    with pytest.raises(AddressError) as caught:
        AddressPolicy().check_stream(stream)
    assert words in str(caught.value)
    assert str(caught.value).startswith(caught.value.field)
    assert not caught.value.forbidden
    assert caught.value.allowed


def test_a_stream_that_leads_to_a_forbidden_network_is_refused_by_its_field() -> None:
    streams = (
        (an_rtsp("rtsp://2130706433/"), "url"),
        (an_rtsp("rtsp://camera/", sub_url="rtsp://[::ffff:127.0.0.1]/"), "sub_url"),
        (a_socket("localhost"), "host"),
    )
    for stream, field in streams:
        with pytest.raises(AddressError, match="is not allowed") as caught:
            LOOPBACK.check_stream(stream)
        assert (caught.value.field, caught.value.forbidden) == (field, True)


def test_names_are_looked_up_where_somebody_can() -> None:
    stream = an_rtsp("rtsp://camera/")
    LOOPBACK.check_stream(stream)
    LOOPBACK.check_stream(stream, nobody)
    LOOPBACK.check_stream(stream, lambda *_: ["10.0.0.1"])
    with pytest.raises(AddressError, match=r"camera leads to 127\.0\.0\.2"):
        LOOPBACK.check_stream(stream, lambda *_: ["10.0.0.1", "127.0.0.2"])


@pytest.mark.integration
def test_the_name_service_is_the_systems() -> None:
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with pytest.raises(OSError, match="no name of a host"):
        resolve("a" * 64 + ".example", 80)
