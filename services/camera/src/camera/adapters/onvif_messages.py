"""What is asked of an ONVIF device, and how its answers are read.

Two generations of the media service are spoken: of the first every camera of Profile S knows, the
second (Profile T) also tells H.265.
"""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from camera.adapters.soap import ENVELOPE, Node, every, first, local, text, whole
from camera.domain.found import codec_of, words
from mesh.events import FoundStream

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"
_NAMESPACES = (
    f' xmlns:tds="{DEVICE}" xmlns:trt="{MEDIA}" xmlns:tr2="{MEDIA2}"'
    ' xmlns:tt="http://www.onvif.org/ver10/schema"'
)
_SECURITY = (
    '<wsse:Security s:mustUnderstand="true" xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/'
    'oasis-200401-wss-wssecurity-secext-1.0.xsd" xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/'
    'oasis-200401-wss-wssecurity-utility-1.0.xsd"><wsse:UsernameToken>'
    "<wsse:Username>{username}</wsse:Username>"
    '<wsse:Password Type="http://docs.oasis-open.org/wss/2004/01/'
    'oasis-200401-wss-username-token-profile-1.0#PasswordDigest">{digest}</wsse:Password>'
    '<wsse:Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/'
    'oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</wsse:Nonce>'
    "<wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security>"
)
_REFUSED = (
    "notauthorized",
    "not authorized",
    "unauthorized",
    "authentication",
    "security",
    "lockedout",
)
CLOCK = "<tds:GetSystemDateAndTime/>"
INFORMATION = "<tds:GetDeviceInformation/>"
SERVICES = "<tds:GetServices><tds:IncludeCapability>false</tds:IncludeCapability></tds:GetServices>"
CAPABILITIES = "<tds:GetCapabilities><tds:Category>Media</tds:Category></tds:GetCapabilities>"


@dataclass(frozen=True, slots=True)
class MediaDialect:
    """How one generation of the media service is spoken to."""

    namespace: str
    profiles: str
    stream: str

    def stream_of(self, token: str) -> str:
        """Asks for the address of a profile's stream."""
        return self.stream.format(token=escape(token))


FIRST = MediaDialect(
    MEDIA,
    "<trt:GetProfiles/>",
    "<trt:GetStreamUri><trt:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport>"
    "<tt:Protocol>RTSP</tt:Protocol></tt:Transport></trt:StreamSetup>"
    "<trt:ProfileToken>{token}</trt:ProfileToken></trt:GetStreamUri>",
)
SECOND = MediaDialect(
    MEDIA2,
    "<tr2:GetProfiles><tr2:Type>VideoEncoder</tr2:Type></tr2:GetProfiles>",
    "<tr2:GetStreamUri><tr2:Protocol>RTSP</tr2:Protocol>"
    "<tr2:ProfileToken>{token}</tr2:ProfileToken></tr2:GetStreamUri>",
)
DIALECTS = (SECOND, FIRST)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of a device, and what its stream is like."""

    token: str
    stream: FoundStream


def envelope(body: str, security: str = "") -> bytes:
    """A message with this body."""
    return ENVELOPE.format(namespaces=_NAMESPACES, header=security, body=body).encode()


def security(username: str, password: str, created: datetime, nonce: bytes | None = None) -> str:
    """The header that proves who asks, without the password (WS-UsernameToken, digest).

    Args:
        username: Name.
        password: In clear text; only its hash is sent.
        created: Now, by the device's clock.
        nonce: Used once; random unless a test gives one.
    """
    nonce = os.urandom(16) if nonce is None else nonce
    moment = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    proof = hashlib.sha1(nonce + moment.encode() + password.encode(), usedforsecurity=False)
    return _SECURITY.format(
        username=escape(username),
        digest=base64.b64encode(proof.digest()).decode(),
        nonce=base64.b64encode(nonce).decode(),
        created=moment,
    )


def refuses(fault: Sequence[str]) -> bool:
    """Whether a fault means that name or password are wrong or missing."""
    told = " ".join(fault).lower()
    return any(word in told for word in _REFUSED)


def clock_told(root: Node) -> datetime | None:
    """The device's time in UTC; nothing if it tells none that exists."""
    utc = first(root, "UTCDateTime")
    names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
    parts = [whole(utc, name) for name in names]
    if any(part is None for part in parts):
        return None
    year, month, day, hour, minute, second = (part or 0 for part in parts)
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment + timedelta(seconds=min(second, 60))


def information(root: Node) -> Mapping[str, str | None]:
    """Manufacturer, model and serial number."""
    named = {"manufacturer": "Manufacturer", "model": "Model", "serial": "SerialNumber"}
    return {ours: words(text(root, theirs)) for ours, theirs in named.items()}


def services_told(root: Node) -> Mapping[str, str]:
    """Addresses of services by namespace, from either answer that tells them."""
    told = {}
    for one in every(root, "Service"):
        namespace, address = text(one, "Namespace"), text(one, "XAddr")
        if namespace and address:
            told[namespace.rstrip("/")] = address
    if (media := text(root, "Capabilities", "Media", "XAddr")) is not None:
        told.setdefault(MEDIA, media)
    if (second := text(root, "Capabilities", "Extension", "Media2", "XAddr")) is not None:
        told.setdefault(MEDIA2, second)
    return told


def profiles_told(root: Node) -> Sequence[Profile]:
    """The profiles that carry video."""
    found = (_profile(one) for one in every(root, "Profiles"))
    return [one for one in found if one is not None]


def _profile(node: Node) -> Profile | None:
    token = node.get("token")
    encoder = first(node, "VideoEncoderConfiguration", "VideoEncoder")
    if not token or encoder is None:
        return None
    name = next((words(one.text) for one in node if local(one) == "Name"), None)
    rate = text(encoder, "RateControl", "FrameRateLimit")
    stream = FoundStream(
        name=name or words(token) or "",
        codec=codec_of(text(encoder, "Encoding")),
        width=whole(encoder, "Resolution", "Width"),
        height=whole(encoder, "Resolution", "Height"),
        fps=_rate(rate),
    )
    return Profile(token[:200], stream)


def _rate(told: str | None) -> float | None:
    try:
        rate = float(told) if told else 0.0
    except ValueError:
        return None
    return rate if 0 < rate <= 1000 else None
