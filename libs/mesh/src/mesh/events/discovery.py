"""Looking for cameras that nobody registered yet.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverCameras:
    """Look for cameras in the network and at the replicas' machines; each replica answers."""

    request_id: str
    """Request to answer."""
    kinds: tuple[str, ...]
    """What to look for: onvif, usb."""
    timeout_ms: int
    """The answer is to be out so long after the command arrived, milliseconds, 500 to 30000."""
    hosts: tuple[str, ...] = ()
    """Ask these hosts too, name or address with an optional port; for networks that multicast does
    not reach.
    """
    username: str | None = None
    """User name for looking streams up; null asks without."""
    password_encrypted: bytes | None = None
    """Password, Fernet token; never in clear text."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStream:
    """A stream that a found device offers."""

    name: str
    """Name for people: the profile of an ONVIF camera, the pixel format of a USB camera."""
    url: str | None = None
    """Address without credentials; null for USB."""
    codec: str | None = None
    """h264, h265, mjpeg or raw."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    fps: float | None = None
    """Frames per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDevice:
    """A camera that was found."""

    kind: str
    """onvif or usb."""
    identity: str
    """The same at every look: the endpoint reference of an ONVIF device, node and place on the bus
    of a USB device.
    """
    name: str | None = None
    """Name for people."""
    address: str | None = None
    """Host or host:port that answered; null for USB."""
    node: str | None = None
    """Node that the device hangs on, or whose replica found it, if it has a name."""
    device_id: int | None = None
    """Device number for USB."""
    manufacturer: str | None = None
    """As the device tells."""
    model: str | None = None
    """As the device tells."""
    serial: str | None = None
    """As the device tells."""
    clock_offset_ms: float | None = None
    """The device's clock minus ours, milliseconds."""
    error_code: str | None = None
    """Why its streams could not be looked up: unauthorized, unreachable, timeout, unsupported,
    forbidden_address.
    """
    error: str | None = None
    """The same as a sentence, without credentials."""
    streams: tuple[FoundStream, ...] = ()
    """What it offers, largest first."""
