"""An ONVIF device for tests, written from the WSDL of the device and media services.

Beside the honest camera it plays what cameras of several makers do: other prefixes, other
namespaces for faults, addresses that nobody can reach, clocks that are wrong.
"""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element

from aiohttp import web

from camera.adapters.soap import local, parse, text

_NS = (
    'xmlns:{s}="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:{d}="http://www.onvif.org/ver10/device/wsdl" '
    'xmlns:{m}="http://www.onvif.org/ver10/media/wsdl" '
    'xmlns:{t}="http://www.onvif.org/ver10/schema" xmlns:ter="http://www.onvif.org/ver10/error"'
)
PREFIXES = {
    "hikvision": {"s": "env", "d": "tds", "m": "trt", "t": "tt"},
    "dahua": {"s": "s", "d": "tds", "m": "trt", "t": "tt"},
    "axis": {"s": "SOAP-ENV", "d": "aa", "m": "bb", "t": "cc"},
}
_TOLERATED = timedelta(minutes=1)
TIMES = """<{d}:GetSystemDateAndTimeResponse><{d}:SystemDateAndTime>
<{t}:DateTimeType>NTP</{t}:DateTimeType><{t}:DaylightSavings>false</{t}:DaylightSavings>
<{t}:UTCDateTime><{t}:Time><{t}:Hour>%H</{t}:Hour><{t}:Minute>%M</{t}:Minute>
<{t}:Second>%S</{t}:Second></{t}:Time><{t}:Date><{t}:Year>%Y</{t}:Year><{t}:Month>%m</{t}:Month>
<{t}:Day>%d</{t}:Day></{t}:Date></{t}:UTCDateTime></{d}:SystemDateAndTime>
</{d}:GetSystemDateAndTimeResponse>"""
INFORMATION = """<{d}:GetDeviceInformationResponse><{d}:Manufacturer>ACME</{d}:Manufacturer>
<{d}:Model>Dome 3</{d}:Model><{d}:FirmwareVersion>1.0</{d}:FirmwareVersion>
<{d}:SerialNumber>SN-7</{d}:SerialNumber></{d}:GetDeviceInformationResponse>"""
CAPABILITIES = """<{d}:GetCapabilitiesResponse><{d}:Capabilities><{t}:Media>
<{t}:XAddr>{told}/onvif/media</{t}:XAddr></{t}:Media></{d}:Capabilities>
</{d}:GetCapabilitiesResponse>"""
SERVICES = """<{d}:GetServicesResponse><{d}:Service>
<{d}:Namespace>http://www.onvif.org/ver20/media/wsdl</{d}:Namespace>
<{d}:XAddr>{told}/onvif/media</{d}:XAddr></{d}:Service><{d}:Service>
<{d}:Namespace>http://www.onvif.org/ver10/media/wsdl</{d}:Namespace>
<{d}:XAddr>{told}/onvif/media</{d}:XAddr></{d}:Service></{d}:GetServicesResponse>"""
PROFILES = """<{m}:GetProfilesResponse><{m}:Profiles token="sub" fixed="true">
<{t}:Name>Sub</{t}:Name><{t}:VideoEncoderConfiguration token="e2"><{t}:Name>inner</{t}:Name>
<{t}:Encoding>H264</{t}:Encoding>
<{t}:Resolution><{t}:Width>640</{t}:Width><{t}:Height>360</{t}:Height></{t}:Resolution>
<{t}:RateControl><{t}:FrameRateLimit>10</{t}:FrameRateLimit></{t}:RateControl>
</{t}:VideoEncoderConfiguration></{m}:Profiles><{m}:Profiles token="main" fixed="true">
<{t}:Name>Main &amp; only</{t}:Name><{t}:VideoEncoderConfiguration token="e1">
<{t}:Encoding>H264</{t}:Encoding><{t}:Resolution><{t}:Width>1920</{t}:Width>
<{t}:Height>1080</{t}:Height></{t}:Resolution></{t}:VideoEncoderConfiguration></{m}:Profiles>
<{m}:Profiles token="audio"><{t}:Name>Audio</{t}:Name></{m}:Profiles></{m}:GetProfilesResponse>"""
PROFILES2 = """<r:GetProfilesResponse xmlns:r="http://www.onvif.org/ver20/media/wsdl">
<r:Profiles token="main"><r:Name>Main</r:Name><r:Configurations><r:VideoEncoder token="e1">
<{t}:Name>inner</{t}:Name><{t}:Encoding>H265</{t}:Encoding><{t}:Resolution>
<{t}:Width>3840</{t}:Width><{t}:Height>2160</{t}:Height></{t}:Resolution>
<{t}:RateControl ConstantBitRate="false"><{t}:FrameRateLimit>12.5</{t}:FrameRateLimit>
</{t}:RateControl></r:VideoEncoder></r:Configurations></r:Profiles></r:GetProfilesResponse>"""
STREAM = """<{m}:GetStreamUriResponse><{m}:MediaUri><{t}:Uri>{uri}</{t}:Uri>
<{t}:InvalidAfterConnect>false</{t}:InvalidAfterConnect></{m}:MediaUri></{m}:GetStreamUriResponse>"""
STREAM2 = """<r:GetStreamUriResponse xmlns:r="http://www.onvif.org/ver20/media/wsdl">
<r:Uri>{uri}</r:Uri></r:GetStreamUriResponse>"""
_FAULT = """<{s}:Fault><{s}:Code><{s}:Value>{s}:Sender</{s}:Value><{s}:Subcode>
<{s}:Value>ter:%s</{s}:Value></{s}:Subcode></{s}:Code><{s}:Reason>
<{s}:Text xml:lang="en">%s</{s}:Text></{s}:Reason></{s}:Fault>"""
_UNKNOWN = ("ActionNotSupported", "Optional Action Not Implemented")


def message(body: str, maker: str = "hikvision", **values: str) -> bytes:
    """A message with the prefixes of a maker."""
    names = PREFIXES[maker]
    named = (_NS + body).format(**names, told=values.get("told", ""), uri=values.get("uri", ""))
    spaces, _, rest = named.partition('error"')
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{names["s"]}:Envelope {spaces}error">'
        f"<{names['s']}:Body>{rest}</{names['s']}:Body></{names['s']}:Envelope>"
    ).encode()


def fault(code: str, reason: str, maker: str = "hikvision") -> bytes:
    """The refusal of a question."""
    return message(_FAULT % (code, reason), maker)


@dataclass
class Peer:
    """A device; its fields say what it is like, and what it was asked."""

    maker: str = "hikvision"
    username: str | None = None
    password: str = ""
    http_digest: bool = False
    offset: timedelta = timedelta(0)
    second: bool = False
    told: str | None = None
    """How it calls itself; nobody need reach it there."""
    uri: str = "rtsp://192.0.2.7:554/Streaming/Channels/101?transportmode=unicast"
    fault_status: int = 400
    instead: Mapping[str, Callable[[], web.StreamResponse]] = field(default_factory=dict)
    """Answers to single questions, by the question's name."""
    asked: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to one question."""
        data = await request.read()
        self.heard.append(data)
        root = parse(data)
        body = next(one for one in root if local(one) == "Body")
        question = local(body[0])
        self.asked.append(question)
        if question in self.instead:
            return self.instead[question]()
        if question == "GetSystemDateAndTime":
            return self._say((datetime.now(UTC) + self.offset).strftime(TIMES))
        refused = self._refused(request, root)
        if refused is not None:
            return refused
        told = self.told or f"http://{self.place}"
        said = self._bodies(body[0]).get(question)
        if said is None:
            return self._soap(fault(*_UNKNOWN, self.maker), self.fault_status)
        return self._say(said, told=told, uri=self.uri.replace("&", "&amp;"))

    def _bodies(self, question: Element) -> dict[str, str]:
        newer = "ver20" in str(question.tag)
        bodies = {"GetDeviceInformation": INFORMATION, "GetCapabilities": CAPABILITIES}
        bodies["GetProfiles"] = PROFILES2 if newer else PROFILES
        bodies["GetStreamUri"] = STREAM2 if newer else STREAM
        return bodies | ({"GetServices": SERVICES} if self.second else {})

    def _refused(self, request: web.Request, root: Element) -> web.Response | None:
        if self.username is None:
            return None
        if self.http_digest:
            if self._digest_is_right(request):
                return None
            challenge = 'Digest realm="onvif", qop="auth", nonce="abc", algorithm=MD5'
            refusal = web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="onvif"'})
            refusal.headers.add("WWW-Authenticate", challenge)
            return refusal
        if self._token_is_right(root):
            return None
        sentence = "Sender not Authorized"
        return self._soap(fault("NotAuthorized", sentence, self.maker), self.fault_status)

    def _token_is_right(self, root: Element) -> bool:
        created = text(root, "Created") or ""
        nonce = base64.b64decode(text(root, "Nonce") or "")
        proof = hashlib.sha1(nonce + created.encode() + self.password.encode()).digest()
        if text(root, "Password") != base64.b64encode(proof).decode():
            return False
        moment = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return (
            text(root, "Username") == self.username
            and abs(datetime.now(UTC) + self.offset - moment) < _TOLERATED
        )

    def _digest_is_right(self, request: web.Request) -> bool:
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
        if not given:
            return False
        one = _md5(f"{self.username}:onvif:{self.password}")
        two = _md5(f"POST:{request.path}")
        middle = f"abc:{given['nc']}:{given['cnonce']}:auth"
        expected = _md5(f"{one}:{middle}:{two}")
        return str(given["response"]) == expected

    def _say(self, body: str, **values: str) -> web.Response:
        return self._soap(message(body, self.maker, **values), 200)

    def _soap(self, data: bytes, status: int) -> web.Response:
        return web.Response(body=data, status=status, content_type="application/soap+xml")


def _md5(words: str) -> str:
    return hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[Peer]:
    """The device on a port of its own."""
    app = web.Application()
    app.router.add_post("/{path:.*}", peer.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.port = runner.addresses[0][1]
    try:
        yield peer
    finally:
        await runner.cleanup()
