"""Cameras that hang on this machine, as Linux lists them."""

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.logs import get_logger

SYSFS = Path("/sys/class/video4linux")
DEVICES = Path("/dev")
_EVERY_SECONDS = 2.0
_QUERYCAP = 0x80685600
"""VIDIOC_QUERYCAP: read, 104 bytes, 'V', 0."""
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_CAPTURES = 0x00000001 | 0x00001000
"""V4L2_CAP_VIDEO_CAPTURE, with one plane or several."""
_HAS_DEVICE_CAPS = 0x80000000


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """A device that gives pictures."""

    number: int
    """N of /dev/videoN; another one may be given when it is plugged in again."""
    name: str
    index: int
    """Which of the nodes of one piece of hardware it is."""
    bus_path: str
    """The socket it is plugged into; the same after it was unplugged and plugged in again."""

    @property
    def node(self) -> Path:
        """The file to open."""
        return DEVICES / f"video{self.number}"


def captures(node: Path) -> bool | None:
    """Whether a device gives pictures, rather than metadata or nothing; `None` if it won't say."""
    buffer = bytearray(_CAPABILITY.size)
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _QUERYCAP, buffer)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    *_, capabilities, device_caps = _CAPABILITY.unpack(buffer)
    own = device_caps if capabilities & _HAS_DEVICE_CAPS else capabilities
    return bool(own & _CAPTURES)


def usb_devices(
    sysfs: Path = SYSFS, asked: Callable[[Path], bool | None] = captures
) -> tuple[UsbDevice, ...]:
    """The devices that give pictures, by number; a machine without any video has none.

    A device that does not say what it is for counts if it is the first node of its hardware: the
    others hold metadata.

    Args:
        sysfs: Where Linux lists video devices.
        asked: Says whether a node gives pictures.
    """
    listed = (_device(entry) for entry in sorted(sysfs.glob("video*")))
    found = [
        device for device in listed if device is not None and _counts(device, asked(device.node))
    ]
    return tuple(sorted(found, key=lambda device: device.number))


def _counts(device: UsbDevice, answer: bool | None) -> bool:  # noqa: FBT001 -- an answer, no switch
    return device.index == 0 if answer is None else answer


def _device(entry: Path) -> UsbDevice | None:
    """What sysfs says of a device; it may be unplugged while it is read."""
    number = entry.name.removeprefix("video")
    if not number.isdecimal():
        return None
    try:
        name = (entry / "name").read_text(errors="replace").strip()
        index = int((entry / "index").read_text())
        place = (entry / "device").resolve(strict=True)
    except (OSError, ValueError):
        return None
    parts = place.parts
    below = parts[parts.index("devices") + 1 :] if "devices" in parts else parts[1:]
    return UsbDevice(int(number), name, index, "/".join(below))


def log_devices(devices: Sequence[UsbDevice]) -> None:
    """Writes to the log which devices there are."""
    names = {str(device.node): f"{device.name} at {device.bus_path}" for device in devices}
    get_logger("camera.usb").info("usb_devices", devices=names)


class UsbWatch:
    """Looks again and again which devices there are, and tells when others are.

    Args:
        changed: Hears of the devices at the start and after every change.
        devices: Lists them.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        changed: Callable[[Sequence[UsbDevice]], None] = log_devices,
        *,
        devices: Callable[[], Sequence[UsbDevice]] = usb_devices,
        every: float = _EVERY_SECONDS,
    ) -> None:
        self._changed = changed
        self._devices = devices
        self._every = every
        self._known: Sequence[UsbDevice] | None = None

    def run(self, stop: threading.Event) -> None:
        """Looks until `stop` is set; blocks."""
        while not stop.is_set():
            self.look()
            stop.wait(self._every)

    def look(self) -> None:
        """Looks once."""
        present = self._devices()
        if present != self._known:
            self._known = present
            self._changed(present)
