"""Looking for network cameras, against devices on the loopback and a publisher of others."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from services.camera.tests.onvif_peer import PREFIXES, Peer, serving
from services.camera.tests.patience import PATIENT
from services.camera.tests.test_onvif_messages import HIKVISION, PRINTER

from camera.adapters.onvif_finder import OnvifFinder, ProbeSettings
from camera.adapters.soap import MOST_BYTES, parse, text
from camera.adapters.ws_discovery import ProbeError, Prober, interfaces
from camera.domain.found import Search, SearchError
from mesh.addresses import AddressPolicy
from mesh.clock import SystemClock
from mesh.events import FoundDevice

pytestmark = pytest.mark.integration

ASK = Search(kinds=("onvif",), username="viewer", password="pa&ss<1>", seconds=PATIENT)
SECONDS = (0.5, 2.0, 10.0, 40.0)
"""How long may be looked where that time passes, however fast the machine is."""


def a_finder(policy: str = "", probe: ProbeSettings | None = None) -> OnvifFinder:
    """One that asks nobody whom nobody named, unless it is told how to probe."""
    probe = probe or ProbeSettings(interfaces=[])
    return OnvifFinder(AddressPolicy.parse(policy), SystemClock(), probe=probe, node="edge-1")


async def look_up(peer: Peer, search: Search = ASK) -> FoundDevice:
    async with serving(peer):
        (device,) = await a_finder().find(replace(search, hosts=(peer.place,)))
    return device


async def probed(
    *answers: str,
    hosts: Sequence[str] = (),
    names: Sequence[str] = ("lo",),
    policy: str = "",
    error: str | None = None,
) -> tuple[Sequence[FoundDevice], Peer]:
    """What a probe finds, and the device that answers it, within the shortest time that will do.

    Args:
        answers: To each probe; the address in them becomes the device's.
        hosts: Asked by name.
        names: Interfaces to probe on.
        policy: Where nobody may connect to.
        error: What the device is told to suffer from.
    """
    for seconds in SECONDS:
        async with serving(Peer()) as peer:
            told = [answer.replace("192.0.2.4", peer.place) for answer in answers]
            async with answering(*told) as (_, port):
                probe = ProbeSettings(interfaces=names, target=("127.0.0.1", port))
                search = replace(ASK, hosts=tuple(hosts), seconds=seconds)
                devices = await a_finder(policy, probe).find(search)
        if [device.error_code for device in devices] == [error]:
            break
    return devices, peer


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[tuple[str, int]]:
    """Somebody who answers each probe with these, in the name of its number."""
    loop = asyncio.get_running_loop()

    class Device(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:  # type: ignore[explicit-override]  # Python 3.11 has no override
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # type: ignore[explicit-override]  # as above
            number = (text(parse(data), "MessageID") or "").removeprefix("urn:uuid:")
            known = "6f2b1c1e-0000-4000-8000-000000000001"
            for answer in answers:
                self.transport.sendto(answer.replace(known, number).encode(), addr)  # type: ignore[attr-defined]  # a datagram transport

    transport, _ = await loop.create_datagram_endpoint(Device, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


@pytest.mark.parametrize("maker", PREFIXES)
async def test_a_named_host_tells_its_streams(maker: str) -> None:
    peer = Peer(maker=maker, username="viewer", password="pa&ss<1>")
    device = await look_up(peer)
    assert (device.manufacturer, device.model, device.serial) == ("ACME", "Dome 3", "SN-7")
    assert (device.error_code, device.node, device.address) == (None, "edge-1", peer.place)
    assert [stream.name for stream in device.streams] == ["Main & only", "Sub"]
    assert device.streams[0].url == (
        "rtsp://127.0.0.1:554/Streaming/Channels/101?transportmode=unicast"
    )
    assert peer.asked[:3] == ["GetSystemDateAndTime", "GetDeviceInformation", "GetServices"]


async def test_the_password_never_travels() -> None:
    peer = Peer(username="viewer", password="pa&ss<1>")
    await look_up(peer)
    assert peer.heard
    assert not any(b"pa&amp;ss" in data or b"pa&ss" in data for data in peer.heard)


async def test_the_second_media_service_is_preferred() -> None:
    (stream,) = (await look_up(Peer(second=True))).streams
    assert (stream.codec, stream.width, stream.fps) == ("h265", 3840, 12.5)


@pytest.mark.parametrize("hours", [-30_000, 5])
async def test_a_wrong_clock_of_the_device_is_allowed_for(hours: int) -> None:
    offset = timedelta(hours=hours)
    device = await look_up(Peer(username="viewer", password="pa&ss<1>", offset=offset))
    assert device.error_code is None
    told = timedelta(milliseconds=device.clock_offset_ms or 0)
    assert abs(told - offset) < timedelta(minutes=1)


async def test_digest_of_http_is_spoken_where_the_device_asks_for_it() -> None:
    device = await look_up(Peer(username="viewer", password="pa&ss<1>", http_digest=True))
    assert device.error_code is None
    assert len(device.streams) == 2


@pytest.mark.parametrize("http_digest", [False, True])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_wrong_credentials_are_an_error_of_the_device(
    *, http_digest: bool, status: int
) -> None:
    peer = Peer(username="viewer", password="x", http_digest=http_digest, fault_status=status)
    device = await look_up(peer)
    assert device.error_code == "unauthorized"
    assert device.error == "it refuses the name or the password"


async def test_missing_credentials_are_asked_for() -> None:
    peer = Peer(username="viewer", password="x")
    device = await look_up(peer, replace(ASK, username=None, password=None))
    assert device.error == "it asks for a name and a password"
    assert not any(b"Security" in data for data in peer.heard)


@pytest.mark.parametrize("told", ["http://10.99.0.1", "http://[fe80::7]", "http://cam.local:80"])
async def test_addresses_that_nobody_can_reach_are_replaced(told: str) -> None:
    device = await look_up(Peer(told=told, uri="rtsp://u:p@192.168.1.99:8554/live"))
    assert [stream.url for stream in device.streams] == ["rtsp://127.0.0.1:8554/live"] * 2


async def test_a_stream_that_is_none_of_rtsp_is_left_out() -> None:
    device = await look_up(Peer(uri="file:///etc/passwd"))
    assert (device.streams, device.error_code) == ((), "unsupported")
    assert device.error == "it offers no stream of pictures"


def _huge() -> web.Response:
    return web.Response(body=b"<x>" + b" " * (2 * MOST_BYTES))


def _elsewhere() -> web.Response:
    return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: web.Response(body=b"<html>"), "the answer is no XML that may be read"),
        (lambda: web.Response(body=b""), "the answer is no XML that may be read"),
        (lambda: web.Response(status=404), "it answers with HTTP 404"),
        (_elsewhere, "it answers with HTTP 302"),
        (_huge, "the answer is longer than"),
    ],
)
async def test_a_host_that_is_no_camera_is_unsupported(answer: object, error: str) -> None:
    device = await look_up(Peer(instead={"GetSystemDateAndTime": answer}))  # type: ignore[dict-item]  # callables of several kinds
    assert device.error_code == "unsupported"
    assert (device.error or "").startswith(error)


async def test_what_a_slow_device_told_in_time_is_kept() -> None:
    class Slow(Peer):
        async def answer(self, request: web.Request) -> web.StreamResponse:  # type: ignore[explicit-override]  # Python 3.11 has no override
            if b"GetProfiles" in await request.read():
                await asyncio.sleep(2 * PATIENT)
            return await super().answer(request)

    for seconds in SECONDS:
        device = await look_up(Slow(), replace(ASK, seconds=seconds))
        if device.manufacturer is not None:
            break
    assert (device.error_code, device.manufacturer) == ("timeout", "ACME")
    assert "everything" in (device.error or "")


async def test_hosts_that_are_away_or_forbidden_or_none_say_so() -> None:
    hosts = ("127.0.0.1:9", "127.9.9.9:80", "no host", "nobody.invalid:80")
    devices = await a_finder("127.9.0.0/16").find(replace(ASK, hosts=hosts, seconds=PATIENT / 2))
    codes = {device.address: device.error_code for device in devices}
    assert codes == {
        "127.0.0.1:9": "unreachable",
        "127.9.9.9:80": "forbidden_address",
        "no host": "unreachable",
        "nobody.invalid:80": "unreachable",
    }


async def test_a_device_that_answers_a_probe_is_asked_at_the_address_that_answered() -> None:
    (device,), peer = await probed(HIKVISION, HIKVISION, PRINTER, "<garbage")
    assert (device.identity, device.name) == ("urn:uuid:aa-01", "HIKVISION DS")
    assert (device.address, len(device.streams)) == (peer.place, 2)
    assert peer.asked.count("GetProfiles") == 1


async def test_a_device_with_a_forbidden_address_is_not_asked() -> None:
    (device,), peer = await probed(HIKVISION, policy="127.0.0.0/8", error="forbidden_address")
    assert device.error_code == "forbidden_address"
    assert peer.asked == []


async def test_a_probe_to_one_host_finds_its_service() -> None:
    (device,), _ = await probed(HIKVISION, hosts=["127.0.0.1"], names=["no-such"])
    assert device.identity == "urn:uuid:aa-01"


async def test_a_machine_that_can_probe_nobody_says_so() -> None:
    with pytest.raises(SearchError, match="no-such"):
        await a_finder(probe=ProbeSettings(interfaces=["no-such"])).find(ASK)
    with pytest.raises(ProbeError, match="no interface that carries multicast"):
        await Prober(lambda match: None, names=[]).ask_all(0.1)


def test_the_loopback_leads_to_nobody() -> None:
    assert "lo" not in interfaces()


def test_a_camera_that_others_publish_is_found_by_multicast() -> None:
    """WSDiscovery (PyPI) answers, in a network of its own: it speaks on every interface."""
    unshare = shutil.which("unshare")
    script = Path(__file__).with_name("wsd_peer.py")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], check=False).returncode:
        pytest.skip("this machine makes no network of its own")
    run = [unshare, "-rn", sys.executable, str(script)]
    done = subprocess.run(run, capture_output=True, timeout=100, check=True)
    told = json.loads(done.stdout)
    scopes = ["onvif://www.onvif.org/name/Front%20gate"]
    found = [["10.77.0.1", ["http://10.77.0.1:8000/onvif/device_service"], scopes]]
    assert told == {"interfaces": ["cam0", "cam1"], "found": found}
