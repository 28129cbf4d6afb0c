"""What may be told of cameras that were found."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.found import (
    Asked,
    Search,
    codec_of,
    largest_first,
    once,
    scopes_told,
    service_url,
    split_host,
    stream_url,
    words,
)
from mesh.events import FoundDevice, FoundStream

HERE = Asked("192.168.4.20", "192.168.4.20")
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("camera.example")
)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("rtsp://192.168.4.20:554/live", "rtsp://192.168.4.20:554/live"),
        ("rtsp://192.168.4.77/live", "rtsp://192.168.4.77/live"),
        ("rtsp://192.168.1.99:8554/live", "rtsp://192.168.4.20:8554/live"),
        ("rtsp://0.0.0.0/live", "rtsp://192.168.4.20/live"),
        ("rtsp://127.0.0.1/live", "rtsp://192.168.4.20/live"),
        ("rtsp://169.254.3.1/live", "rtsp://192.168.4.20/live"),
        ("rtsp://ipcam.local/live?a=1&b=2#x", "rtsp://192.168.4.20/live?a=1&b=2"),
        ("rtsp://[fe80::1]:554/live", "rtsp://192.168.4.20:554/live"),
        ("rtsp:///live", "rtsp://192.168.4.20/live"),
    ],
)
def test_a_stream_is_where_it_can_be_reached(told: str, expected: str) -> None:
    assert stream_url(told, HERE) == expected


def test_a_host_behind_a_translating_router_keeps_the_name_that_it_was_asked_by() -> None:
    asked = Asked("gate.example", "203.0.113.9")
    assert stream_url("rtsp://10.0.0.5:554/a", asked) == "rtsp://gate.example:554/a"
    assert stream_url("rtsp://9.9.9.9/a", Asked("8.8.8.8", "8.8.8.8")) == "rtsp://9.9.9.9/a"


def test_addresses_of_the_sixth_version_keep_their_brackets() -> None:
    asked = Asked("2001:db8::5", "2001:db8::5")
    assert stream_url("rtsp://[2001:db8::6]:554/a", asked) == "rtsp://[2001:db8::6]:554/a"
    assert stream_url("rtsp://[fd00::6]/a", asked) == "rtsp://[2001:db8::5]/a"
    told = service_url("http://[fe80::1]:8080/onvif/media", asked)
    assert told == "http://[2001:db8::5]:8080/onvif/media"


@pytest.mark.parametrize(
    "told",
    [
        "rtsp://admin:secret@192.168.4.20/live",
        "rtsp://192.168.4.20/live?user=admin&password=secret&channel=1",
        "rtsp://192.168.4.20/user=admin_password=secret",
        "rtsp://192.168.4.20/live?pwd=secret",
        "rtsp://192.168.4.20/passwd=secret/live",
        "rtsp://192.168.4.20/proxy/rtsp://admin:secret@192.168.4.21/live",
        "rtsp://a:b@c:secret@192.168.4.20/live",
    ],
)
def test_no_stream_shows_a_password(told: str) -> None:
    assert "secret" not in stream_url(told, HERE, "secret")
    assert "secret" not in stream_url(told, HERE)


def test_a_password_within_the_address_leaves_a_place_for_it() -> None:
    told = "rtsp://192.168.4.20/user=admin_password=secret_channel=1?pwd=&x=1"
    shown = "rtsp://192.168.4.20/user=admin_password={password}_channel=1?pwd=&x=1"
    assert stream_url(told, HERE) == shown


def test_a_password_that_is_a_part_of_other_words_spoils_no_address() -> None:
    told = "rtsp://192.168.4.20/stream/p?a=p&b=pp"
    assert stream_url(told, HERE, "p") == "rtsp://192.168.4.20/stream/{password}?a={password}&b=pp"
    assert stream_url(told, HERE, "st") == told
    assert stream_url("rtsp://192.168.4.20/p%2Fw/x", HERE, "p/w").endswith("/{password}/x")


@given(host=ADDRESSES, user=st.text("abcxyz%40", max_size=8), asked=st.ip_addresses().map(str))
def test_a_stream_never_carries_user_information_and_always_a_host(
    host: str, user: str, asked: str
) -> None:
    place = f"[{host}]" if ":" in host else host
    parts = urlsplit(stream_url(f"rtsp://{user}:{user}@{place}:554/live", Asked(asked, asked)))
    assert parts.username is None
    assert parts.hostname in {host, asked}
    assert parts.port == 554


@given(host=ADDRESSES, asked=st.ip_addresses())
def test_credentials_are_sent_to_nobody_but_the_address_that_answered(
    host: str, asked: IPv4Address | IPv6Address
) -> None:
    place = f"[{host}]" if ":" in host else host
    parts = urlsplit(service_url(f"http://{place}:99/x", Asked("name", str(asked))))
    assert ip_address(parts.hostname or "") == asked


@pytest.mark.parametrize(
    ("told", "port", "expected"),
    [
        ("http://192.168.4.20:2020/onvif/service", None, "http://192.168.4.20:2020/onvif/service"),
        ("http://192.168.4.20:2020/onvif/service", 80, "http://192.168.4.20:2020/onvif/service"),
        ("http://10.0.0.5:80/onvif/media", 8081, "http://192.168.4.20:8081/onvif/media"),
        ("https://192.168.4.20", None, "https://192.168.4.20/"),
    ],
)
def test_the_port_that_worked_is_trusted_where_the_host_is_wrong(
    told: str, port: int | None, expected: str
) -> None:
    assert service_url(told, HERE, port) == expected


@pytest.mark.parametrize("told", ["file:///etc/passwd", "gopher://192.168.4.20/x", "", "http://"])
def test_what_is_no_web_service_is_never_asked(told: str) -> None:
    with pytest.raises(ValueError, match="no address of a web service"):
        service_url(told, HERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera.example", ("camera.example", None)),
        ("10.0.0.4:8080", ("10.0.0.4", 8080)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]:81", ("2001:db8::1", 81)),
    ],
)
def test_a_host_may_bring_its_port(text: str, expected: tuple[str, int | None]) -> None:
    assert split_host(text) == expected


@pytest.mark.parametrize("text", ["", "http://x", "a b", "x:99999", "x:y", "u@h", "1:2:3", ":80"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        split_host(text)


def test_name_and_hardware_are_read_from_scopes() -> None:
    scopes = [
        "onvif://www.onvif.org/type/video_encoder",
        "onvif://www.onvif.org/name/HIKVISION%20DS-2CD",
        "onvif://www.onvif.org/Name/second",
        "onvif://www.onvif.org/hardware/DS-2CD",
        "onvif://www.onvif.org/location/",
        "onvif://www.onvif.org/name/",
    ]
    assert scopes_told(scopes) == {"name": "HIKVISION DS-2CD", "hardware": "DS-2CD"}


def test_what_a_device_says_of_itself_is_short() -> None:
    assert words("  two\n words ") == "two words"
    assert words(" ") is None
    assert len(words("x" * 5000) or "") == 200


def test_codecs_have_our_names() -> None:
    told = ["H264", "h265", "JPEG", "AV1", "", None]
    assert [codec_of(one) for one in told] == ["h264", "h265", "mjpeg", "av1", None, None]


def test_of_two_accounts_of_a_device_the_fuller_one_is_kept() -> None:
    silent = FoundDevice(kind="onvif", identity="a", error_code="timeout")
    full = FoundDevice(kind="onvif", identity="a", streams=(FoundStream(name="x"),))
    other = FoundDevice(kind="onvif", identity="b", name="Alpha")
    assert once([silent, full, other, silent]) == (full, other)


def test_streams_come_largest_first() -> None:
    sizes = [(640, 360), (None, None), (1920, 1080)]
    streams = [FoundStream(name=str(w), width=w, height=h) for w, h in sizes]
    assert [one.name for one in largest_first(streams)] == ["1920", "640", "None"]


def test_a_search_shows_no_password_and_is_alike_whatever_its_time() -> None:
    search = Search(username="u", password="secret", seconds=1.0)
    assert "secret" not in repr(search)
    assert search.alike(Search(username="u", password="secret", seconds=9.0))
    assert not search.alike(Search(username="u", password="other", seconds=1.0))
