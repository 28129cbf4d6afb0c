"""Cameras that hang on this replica's machine, as an answer to a look for cameras."""

import asyncio
from collections.abc import Callable, Sequence

from camera.adapters.usb_devices import UsbDevice, usb_devices
from camera.domain.found import Search, words
from mesh.events import FoundDevice


class UsbFinder:
    """Tells which devices there are.

    Args:
        node: Name of this replica's node; a USB camera is registered with it.
        instance_id: Name of this replica, for devices of a machine without a name.
        devices: Lists them; may block.
    """

    def __init__(
        self,
        node: str | None,
        instance_id: str,
        devices: Callable[[], Sequence[UsbDevice]] = usb_devices,
    ) -> None:
        self._node = node
        self._machine = node or instance_id
        self._devices = devices

    async def find(self, search: Search) -> Sequence[FoundDevice]:
        """The devices that give pictures."""
        async with asyncio.timeout(search.seconds):
            present = await asyncio.to_thread(self._devices)
        return [
            FoundDevice(
                kind="usb",
                identity=f"{self._machine}/{device.bus_path}",
                name=words(device.name),
                node=self._node,
                device_id=device.number,
            )
            for device in present
        ]
