"""Connections to the very addresses that the address policy allowed."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy, ForbiddenAddressError, Resolve, resolve

_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 10, 5, 3
"""A silent connection is probed after, and then every so many seconds, so often."""


class CheckedNames:
    """Looks hosts up in their own threads, so that none waits for another's name service.

    Args:
        policy: Where nobody may connect to.
        resolve: Asks the name service.
    """

    def __init__(self, policy: AddressPolicy, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, all of which are allowed.

        Raises:
            ForbiddenAddressError: One of them is not.
            OSError: There is none.
        """
        self._policy.check_literal(host)
        found = await self._look_up(host, port)
        self._policy.check(host, found)
        return found

    def check_literal(self, host: str) -> None:
        """Refuses a host that names a forbidden address by itself.

        Raises:
            ForbiddenAddressError: It does.
        """
        self._policy.check_literal(host)

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address that takes it.

        Raises:
            SourceError: The host is forbidden, or there is none that answers.
        """
        try:
            failure: OSError = OSError("it has no address")
            for address in await self.addresses(host, port):
                try:
                    return await _connected(address, port)
                except OSError as error:
                    failure = error
            raise failure
        except ForbiddenAddressError as error:
            raise SourceError(ErrorCode.FORBIDDEN_ADDRESS, str(error)) from error
        except OSError as error:
            raise unreachable(host, error) from error

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def settle(found: Sequence[str], error: OSError | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def look_up() -> None:
            found: Sequence[str] = ()
            failure: OSError | None = None
            try:
                found = self._resolve(host, port)
            except OSError as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found, failure)

        threading.Thread(target=look_up, name="camera-names", daemon=True).start()
        return await answer


class CheckedResolver(AbstractResolver):
    """The same for aiohttp, which asks it only about names, never about addresses."""

    def __init__(self, names: CheckedNames) -> None:
        self._names = names

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, all of which are allowed."""
        found = await self._names.addresses(host, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=_family(address),
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
            if family in (socket.AF_UNSPEC, _family(address))
        ]

    @override
    async def close(self) -> None:
        """Holds nothing."""


def keep_alive(connection: socket.socket) -> None:
    """Has the kernel find out within half a minute that nobody is there any more."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def unreachable(host: str, error: OSError) -> SourceError:
    """Nobody answers at the host; the message tells why, without the address of our own."""
    return SourceError(ErrorCode.UNREACHABLE, f"{host}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)


async def _connected(address: str, port: int) -> socket.socket:
    connection = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
