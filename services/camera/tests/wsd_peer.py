"""Run in a network namespace of its own: PyPI's WSDiscovery publishes, our prober asks.

Prints what was found as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys

from wsdiscovery import QName, Scope
from wsdiscovery.publishing import ThreadedWSPublishing

from camera.adapters.ws_discovery import Match, Prober, interfaces

_NVT = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
_NETWORK = (
    "ip link set lo up",
    "ip link add cam0 type veth peer name cam1",
    "ip address add 10.77.0.1/24 dev cam0",
    "ip link set cam1 up",
    "ip link set cam0 up",
    "ip link add idle0 type veth peer name idle1",
)
"""An interface with a neighbour, and one that is down."""
_TURNS = 30
"""A busy publisher may be late."""


def main() -> None:
    """Publishes a camera and looks for cameras."""
    for command in _NETWORK:
        subprocess.run(command.split(), check=True)
    publisher = ThreadedWSPublishing()
    publisher.start()
    scopes = [Scope("onvif://www.onvif.org/name/Front%20gate")]
    publisher.publishService(
        types=[_NVT], scopes=scopes, xAddrs=["http://10.77.0.1:8000/onvif/device_service"]
    )
    found = asyncio.run(_look())
    told = [[match.address, list(match.services), list(match.scopes)] for match in found.values()]
    sys.stdout.write(json.dumps({"interfaces": sorted(interfaces()), "found": told}))
    sys.stdout.flush()
    os._exit(0)  # its threads take seconds to stop


async def _look() -> dict[str, Match]:
    found: dict[str, Match] = {}

    def note(match: Match) -> None:
        found[match.identity] = match

    for _ in range(_TURNS):
        await Prober(note).ask_all(1.0)
        if found:
            break
    return found


main()
