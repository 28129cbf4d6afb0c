"""Network cameras that answer for themselves, or that somebody named, with their streams."""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from camera.adapters.digest import Digest
from camera.adapters.onvif_client import SERVICE_PATH, OnvifDevice
from camera.adapters.ws_discovery import GROUP, PORT, Match, ProbeError, Prober
from camera.domain.found import (
    Asked,
    Search,
    SearchError,
    once,
    scopes_told,
    service_url,
    split_host,
)
from mesh.addresses import AddressPolicy, ForbiddenAddressError
from mesh.clock import Clock
from mesh.events import FoundDevice

_LISTEN_SHARE = 0.6
_LISTEN_SECONDS = 4.0
_HOST_SECONDS = 1.0
_MOST_DEVICES = 256
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """Where probes are sent."""

    interfaces: Sequence[str] | None = None
    """Names of network interfaces; `None` takes all that lead to others."""
    target: tuple[str, int] = (GROUP, PORT)


class OnvifFinder:
    """Probes the network and asks whoever answers what it streams; used from one event loop.

    Args:
        policy: Where nobody may connect to.
        clock: Ours.
        probe: Where probes are sent.
        node: Name of this replica's node.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        clock: Clock,
        *,
        probe: ProbeSettings | None = None,
        node: str | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._probe = probe or ProbeSettings()
        self._node = node

    async def find(self, search: Search) -> Sequence[FoundDevice]:
        """What answered, each with its streams or with the reason why they are unknown.

        Raises:
            SearchError: No probe could be sent, and no host was named.
        """
        async with asyncio.TaskGroup() as group:
            look = _Look(self._policy, self._clock, self._probe, search, self._node, group)
            look.start(look.ask_all())
            for host in dict.fromkeys(search.hosts):
                look.start(look.ask_host(host))
        if look.problem is not None and not search.hosts:
            raise SearchError("PROBE_FAILED", look.problem)
        return once(look.devices)


@dataclass(slots=True)
class _Look:
    policy: AddressPolicy
    clock: Clock
    probe: ProbeSettings
    search: Search
    node: str | None
    group: asyncio.TaskGroup
    problem: str | None = None
    devices: list[FoundDevice] = field(default_factory=list)
    _matched: dict[str, Match] = field(default_factory=dict)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._until = asyncio.get_running_loop().time() + self.search.seconds

    async def ask_all(self) -> None:
        """Finds those that answer for themselves."""
        prober = self._prober()
        try:
            await prober.ask_all(min(_LISTEN_SECONDS, _LISTEN_SHARE * self.search.seconds))
        except ProbeError as error:
            self.problem = str(error)

    async def ask_host(self, text: str) -> None:
        """Asks a host that somebody named, found or not."""
        try:
            host, port = split_host(text)
            address = await self._resolve(host, port)
        except (ValueError, OSError, ForbiddenAddressError) as error:
            forbidden = isinstance(error, ForbiddenAddressError)
            code = "forbidden_address" if forbidden else "unreachable"
            self.devices.append(self._failed(text, code, str(error) or "its name is not known"))
            return
        if port is None:
            await self._prober().ask(address, min(_HOST_SECONDS, 0.3 * self.search.seconds))
            if any(match.address == address for match in self._matched.values()):
                return
        asked = Asked(host, address)
        url = service_url(f"http://{text}{SERVICE_PATH}", asked, port)
        unknown = FoundDevice(kind="onvif", identity=f"host:{text}", address=text, node=self.node)
        await self._look_up(unknown, asked, url, port)

    def matched(self, match: Match) -> None:
        """A device answered a probe."""
        if match.identity in self._matched or len(self._matched) >= _MOST_DEVICES:
            return
        self._matched[match.identity] = match
        self.start(self._look_up_match(match))

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Does this beside everything else of the look."""
        self._tasks.append(self.group.create_task(work))

    async def _look_up_match(self, match: Match) -> None:
        asked = Asked(match.address, match.address)
        told = scopes_told(match.scopes)
        url = _service_of(match, asked)
        place = urlsplit(url).netloc
        device = FoundDevice(
            kind="onvif",
            identity=match.identity,
            address=place,
            node=self.node,
            name=told.get("name"),
            model=told.get("hardware"),
        )
        try:
            self.policy.check(match.address, [match.address])
        except ForbiddenAddressError as error:
            self.devices.append(self._failed(place, "forbidden_address", str(error)))
            return
        await self._look_up(device, asked, url, None)

    async def _look_up(self, device: FoundDevice, asked: Asked, url: str, port: int | None) -> None:
        async with self._places, self._session() as session:
            one = OnvifDevice(session, asked, url, self.search, self.clock, port)
            left = max(0.0, self._until - asyncio.get_running_loop().time())
            self.devices.append(await one.look_up(device, left))

    def _session(self) -> aiohttp.ClientSession:
        """A connection to one device; its digest is spoken where the device asks for it."""
        name = self.search.username
        digest = () if name is None or ":" in name else (Digest(name, self.search.password or ""),)
        connector = aiohttp.TCPConnector(limit=1, force_close=False)
        return aiohttp.ClientSession(connector=connector, middlewares=digest)

    async def _resolve(self, host: str, port: int | None) -> str:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(max(0.1, self.search.seconds / 2)):
            found = await loop.getaddrinfo(host, port or 80, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        self.policy.check(host, addresses)
        return addresses[0]

    def _prober(self) -> Prober:
        return Prober(self.matched, names=self.probe.interfaces, target=self.probe.target)

    def _failed(self, place: str, code: str, error: str) -> FoundDevice:
        return FoundDevice(
            kind="onvif",
            identity=f"host:{place}",
            address=place,
            node=self.node,
            error_code=code,
            error=error,
        )


def _service_of(match: Match, asked: Asked) -> str:
    """Where the device service is: as told for the address that answered, else as usual."""
    usual = f"http://{asked.address}{SERVICE_PATH}"
    named = [one for one in match.services if urlsplit(one).hostname == asked.address]
    for told in (*sorted(named, key=lambda one: not one.startswith("http://")), *match.services):
        try:
            return service_url(told, asked)
        except ValueError:
            continue
    return service_url(usual, Asked(asked.host, asked.address))
