"""Messages of devices that nobody vouches for, in the shapes of several makers."""

import base64
import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.camera.tests.onvif_peer import (
    CAPABILITIES,
    INFORMATION,
    PREFIXES,
    PROFILES,
    PROFILES2,
    TIMES,
    fault,
    message,
)

from camera.adapters import onvif_messages as onvif
from camera.adapters.soap import MOST_BYTES, SoapError, parse, text, whole
from camera.adapters.soap import fault as fault_told
from camera.adapters.ws_discovery import Match, matches, probes
from mesh.events import FoundStream

ID = "6f2b1c1e-0000-4000-8000-000000000001"
OLD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
NEW = "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"
HIKVISION = f"""<?xml version="1.0" encoding="UTF-8"?>
<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:d="{OLD}"
 xmlns:wsadis="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><env:Header>
<wsadis:MessageID>urn:uuid:1</wsadis:MessageID><wsadis:RelatesTo>urn:uuid:{ID}</wsadis:RelatesTo>
<d:AppSequence InstanceId="7" MessageNumber="1"/></env:Header><env:Body><d:ProbeMatches>
<d:ProbeMatch><wsadis:EndpointReference><wsadis:Address>urn:uuid:AA-01</wsadis:Address>
</wsadis:EndpointReference><d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>
<d:Scopes> onvif://www.onvif.org/type/video_encoder
 onvif://www.onvif.org/name/HIKVISION%20DS </d:Scopes>
<d:XAddrs>http://192.0.2.4/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs>
<d:MetadataVersion>10</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></env:Body>
</env:Envelope>"""
DAHUA = f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="urn:a">
<s:Header><a:RelatesTo>uuid:{ID.upper()}</a:RelatesTo></s:Header><s:Body>
<ProbeMatches xmlns="{NEW}"><ProbeMatch><a:EndpointReference><a:Address>uuid:aa-02</a:Address>
</a:EndpointReference><Types>NetworkVideoTransmitter</Types>
<XAddrs>https://192.0.2.5/onvif/device_service</XAddrs></ProbeMatch></ProbeMatches></s:Body>
</s:Envelope>"""
PRINTER = HIKVISION.replace("dn:NetworkVideoTransmitter tds:Device", "wsdp:Device").replace(
    "onvif://", "ldap://"
)


def test_two_probes_ask_for_the_two_names_of_a_camera_under_one_number() -> None:
    first, second = (parse(data) for data in probes(ID))
    assert text(first, "Types") == "dn:NetworkVideoTransmitter"
    assert text(second, "Types") == "tds:Device"
    assert text(first, "MessageID") == text(second, "MessageID") == f"urn:uuid:{ID}"


def test_cameras_of_several_makers_are_recognised() -> None:
    (one,) = matches(HIKVISION.encode(), "192.0.2.4", ID)
    assert one.identity == "urn:uuid:aa-01"
    assert one.services[1] == "http://[fe80::1]/onvif/device_service"
    assert one.scopes[1] == "onvif://www.onvif.org/name/HIKVISION%20DS"
    told = matches(DAHUA.encode(), "192.0.2.5", ID)
    service = "https://192.0.2.5/onvif/device_service"
    assert told == [Match("urn:uuid:aa-02", "192.0.2.5", (service,))]


def test_what_is_no_camera_or_no_answer_of_ours_is_passed_over() -> None:
    assert matches(PRINTER.encode(), "192.0.2.4", ID) == []
    assert matches(HIKVISION.encode(), "192.0.2.4", "another-number") == []
    anonymous = HIKVISION.replace("urn:uuid:AA-01", "")
    assert matches(anonymous.encode(), "192.0.2.4", ID) == []


@pytest.mark.parametrize("maker", PREFIXES)
def test_answers_are_read_whatever_the_prefixes(maker: str) -> None:
    information = onvif.information(parse(message(INFORMATION, maker)))
    assert information == {"manufacturer": "ACME", "model": "Dome 3", "serial": "SN-7"}
    told = onvif.services_told(parse(message(CAPABILITIES, maker, told="http://192.0.2.4")))
    assert told == {onvif.MEDIA: "http://192.0.2.4/onvif/media"}
    profiles = onvif.profiles_told(parse(message(PROFILES, maker)))
    assert [profile.token for profile in profiles] == ["sub", "main"]
    assert profiles[0].stream == FoundStream(
        name="Sub", codec="h264", width=640, height=360, fps=10.0
    )
    assert profiles[1].stream.name == "Main & only"


def test_the_second_media_service_tells_h265() -> None:
    (profile,) = onvif.profiles_told(parse(message(PROFILES2)))
    assert profile.stream == FoundStream(
        name="Main", codec="h265", width=3840, height=2160, fps=12.5
    )


def test_a_profile_with_nonsense_for_figures_has_none() -> None:
    text_of = PROFILES.replace("640", "wide").replace(">10<", ">1e999<").replace("360", "1e400")
    (sub, _) = onvif.profiles_told(parse(message(text_of)))
    assert (sub.stream.width, sub.stream.height, sub.stream.fps) == (None, None, None)


def test_the_proof_is_the_one_of_the_application_programmers_guide() -> None:
    created = datetime(2010, 9, 16, 7, 50, 45, tzinfo=UTC)
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    header = onvif.security("admin", "userpassword", created, nonce)
    assert ">tuOSpGlFlIXsozq4HFNeeGeFLEI=<" in header
    assert ">LKqI6G/AikKCQrN0zqZFlg==<" in header
    assert "userpassword" not in header


def test_the_proof_tells_the_time_in_utc_and_quotes_names() -> None:
    created = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    header = onvif.security("<a&b>", "secret", created)
    assert "2026-01-01T00:00:00Z" in header
    assert "&lt;a&amp;b&gt;" in header
    assert header != onvif.security("<a&b>", "secret", created)


def test_a_clock_is_read_and_an_impossible_one_is_none() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert onvif.clock_told(parse(message(moment.strftime(TIMES)))) == moment
    leap = moment.strftime(TIMES).replace(">59</{t}:Second", ">60</{t}:Second")
    assert onvif.clock_told(parse(message(leap))) == moment + timedelta(seconds=1)
    for wrong in (">02<", ">28<"):
        impossible = moment.strftime(TIMES).replace(wrong, ">99<")
        assert onvif.clock_told(parse(message(impossible))) is None
    assert onvif.clock_told(parse(message(INFORMATION))) is None


@pytest.mark.parametrize(
    ("code", "reason", "refuses"),
    [
        ("NotAuthorized", "Sender not Authorized", True),
        ("FailedAuthentication", "x", True),
        ("x", "Authentication failed", True),
        ("x", "WS-Security header required but not provided", True),
        ("ActionNotSupported", "Optional Action Not Implemented", False),
    ],
)
def test_a_fault_tells_whether_the_password_is_wrong(
    code: str, reason: str, *, refuses: bool
) -> None:
    told = fault_told(parse(fault(code, reason)))
    assert told is not None
    assert onvif.refuses(told) is refuses
    assert fault_told(parse(message(INFORMATION))) is None


LAUGHS = """<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>"""
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize(
    "data",
    [
        LAUGHS.encode(),
        OUTSIDE.encode(),
        b"<!DOCTYPE x SYSTEM 'http://192.0.2.1/x.dtd'><x/>",
        b"",
        b"<html><body><br></body></html>",
        b"\x00\x01\x02",
        b"<?xml version='1.0' encoding='no-such'?><x/>",
        b"<x>" + b" " * MOST_BYTES + b"</x>",
        b"<x>" + b"<y/>" * 30_000 + b"</x>",
        b"<y>" * 30_000 + b"</y>" * 30_000,
    ],
)
def test_hostile_answers_are_refused(data: bytes) -> None:
    with pytest.raises(SoapError):
        parse(data)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_raises_anything_else(data: bytes) -> None:
    for put, most in ((data, 0), (HIKVISION.encode().replace(b"AA-01", data), 1)):
        found = []
        with contextlib.suppress(SoapError):
            found = list(matches(put, "192.0.2.4", ID))
        assert len(found) <= most


def test_a_deep_answer_is_read_without_going_deep() -> None:
    root = parse(b"<y>" * 19_000 + b"<Model>m</Model>" + b"</y>" * 19_000)
    assert text(root, "Model") == "m"


def test_what_is_missing_is_nothing() -> None:
    root = parse(message(INFORMATION))
    assert text(root, "No", "Such") is None
    assert whole(root, "Manufacturer") is None
