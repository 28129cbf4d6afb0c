"""What a device offers, asked of the device itself (ONVIF: SOAP over HTTP).

A small client of our own: onvif-zeep-async brings 31 MB (zeep, lxml, requests, httpx) for six
questions, and lifts the limits of its parser.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta

import aiohttp

from camera.adapters import onvif_messages as onvif
from camera.adapters.soap import MOST_BYTES, Node, SoapError, fault, parse, text
from camera.domain.found import Asked, Search, largest_first, service_url, stream_url
from mesh.clock import Clock
from mesh.events import FoundDevice, FoundStream

SERVICE_PATH = "/onvif/device_service"
_MEDIA_PATH = "/onvif/media_service"
_MOST_PROFILES = 128
_HEADERS = {"Content-Type": "application/soap+xml; charset=utf-8"}
_ANSWERS = (200, 400, 500)
"""Faults come with any of these."""
_REFUSALS = (401, 403)


class LookUpError(Exception):
    """A device does not tell what it offers; the message names no credentials.

    Args:
        code: Why, for machines.
        message: Why, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class OnvifDevice:
    """One device that is asked, one question after another.

    Args:
        session: Carries the questions; must not follow redirects to elsewhere by itself.
        asked: Whom it is asked as.
        url: Of its device service.
        search: Name, password and time.
        clock: Ours.
        port: The port that it was asked at, if somebody chose it.
    """

    session: aiohttp.ClientSession
    asked: Asked
    url: str
    search: Search
    clock: Clock
    port: int | None = None
    _offset: timedelta | None = field(default=None, init=False)
    _told: dict[str, str | None] = field(default_factory=dict, init=False)
    _streams: list[FoundStream] = field(default_factory=list, init=False)

    async def look_up(self, device: FoundDevice, seconds: float) -> FoundDevice:
        """The device with what it tells of itself, or with the reason why it does not."""
        code = error = None
        try:
            async with asyncio.timeout(seconds):
                await self._ask_everything()
        except TimeoutError:
            missing = "everything" if self._told else "anything"
            code, error = "timeout", f"it did not tell {missing} within {seconds:.1f} s"
        except LookUpError as problem:
            code, error = problem.code, str(problem)
        offset = None if self._offset is None else self._offset / timedelta(milliseconds=1)
        return replace(
            device,
            manufacturer=self._told.get("manufacturer"),
            model=self._told.get("model") or device.model,
            serial=self._told.get("serial"),
            clock_offset_ms=offset,
            streams=largest_first(self._streams),
            error_code=code,
            error=error,
        )

    async def _ask_everything(self) -> None:
        await self._set_clock()
        self._told = dict(onvif.information(await self._ask(self.url, onvif.INFORMATION)))
        services = await self._services()
        dialects = [one for one in onvif.DIALECTS if one.namespace in services] or [onvif.FIRST]
        for dialect in dialects:
            media = services.get(dialect.namespace, service_url_of(self.url, _MEDIA_PATH))
            if await self._list_streams(dialect, media):
                return
        raise LookUpError("unsupported", "it offers no stream of pictures")

    async def _set_clock(self) -> None:
        """Learns the device's time, by which it judges how old a question is."""
        try:
            told = onvif.clock_told(await self._post(self.url, onvif.envelope(onvif.CLOCK)))
        except LookUpError as problem:
            if problem.code == "unauthorized":
                return
            raise
        if told is not None:
            self._offset = told - self.clock.now()

    async def _services(self) -> Mapping[str, str]:
        """Addresses of services; older devices know only the second question."""
        told: dict[str, str] = {}
        for question in (onvif.SERVICES, onvif.CAPABILITIES):
            try:
                told |= onvif.services_told(await self._ask(self.url, question))
            except LookUpError as problem:
                if problem.code != "unsupported":
                    raise
            if told.keys() & {onvif.MEDIA, onvif.MEDIA2}:
                break
        return {name: self._at_device(address) for name, address in told.items()}

    def _at_device(self, address: str) -> str:
        try:
            return service_url(address, self.asked, self.port)
        except ValueError as error:
            raise LookUpError(
                "unsupported", f"it tells an address that is none: {error}"
            ) from error

    async def _list_streams(self, dialect: onvif.MediaDialect, media: str) -> bool:
        try:
            root = await self._ask(media, dialect.profiles)
        except LookUpError as problem:
            if problem.code == "unsupported":
                return False
            raise
        for profile in onvif.profiles_told(root)[:_MOST_PROFILES]:
            url = await self._stream_url(dialect, media, profile.token)
            if url is not None:
                self._streams.append(replace(profile.stream, url=url))
        return bool(self._streams)

    async def _stream_url(self, dialect: onvif.MediaDialect, media: str, token: str) -> str | None:
        """The address of one stream; nothing if the device has none for this profile."""
        try:
            told = text(await self._ask(media, dialect.stream_of(token)), "Uri")
        except LookUpError as problem:
            if problem.code == "unsupported":
                return None
            raise
        try:
            url = stream_url(told or "", self.asked, self.search.password)
        except ValueError:
            return None
        return url if url.startswith(("rtsp://", "rtsps://")) else None

    async def _ask(self, url: str, question: str) -> Node:
        proof, search = "", self.search
        if search.username is not None:
            created = self.clock.now().astimezone(UTC) + (self._offset or timedelta(0))
            proof = onvif.security(search.username, search.password or "", created)
        return await self._post(url, onvif.envelope(question, proof))

    async def _post(self, url: str, message: bytes) -> Node:
        try:
            async with self.session.post(
                url, data=message, headers=_HEADERS, allow_redirects=False, ssl=False
            ) as response:
                status, data = response.status, await response.content.read(MOST_BYTES + 1)
                while len(data) <= MOST_BYTES and (more := await response.content.read(MOST_BYTES)):
                    data += more
        except (aiohttp.ClientError, OSError) as error:
            raise LookUpError("unreachable", f"it does not answer: {_reason(error)}") from error
        if status in _REFUSALS:
            raise self._unauthorized()
        if status not in _ANSWERS:
            raise LookUpError("unsupported", f"it answers with HTTP {status}")
        return self._read(data)

    def _read(self, data: bytes) -> Node:
        try:
            root = parse(data)
        except SoapError as error:
            raise LookUpError("unsupported", str(error)) from error
        told = fault(root)
        if told is None:
            return root
        if onvif.refuses(told):
            raise self._unauthorized()
        raise LookUpError("unsupported", f"it refuses the question: {' '.join(told)[:120]}")

    def _unauthorized(self) -> LookUpError:
        if self.search.username is None:
            return LookUpError("unauthorized", "it asks for a name and a password")
        return LookUpError("unauthorized", "it refuses the name or the password")


def service_url_of(url: str, path: str) -> str:
    """Another service of the device with this one."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{path}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
