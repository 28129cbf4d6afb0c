"""Where a callback's host leads to, looked up once and checked before anything is sent there."""

import socket
from collections.abc import Callable, Sequence

from mesh.errors import TransientError
from results.domain.callbacks import (
    URL_FIELD,
    CallbackPolicy,
    ForbiddenTargetError,
    Target,
    forbidden_url,
    parse_url,
)
from results.domain.errors import invalid

Resolve = Callable[[str, int], Sequence[str]]
"""Addresses of a host; raises `OSError` if there are none."""


class CallbackTargets:
    """Checks callback URLs when a request is accepted, and again when its callback is sent."""

    def __init__(
        self, policy: CallbackPolicy, *, enabled: bool = True, resolve: Resolve | None = None
    ) -> None:
        self._policy = policy
        self._enabled = enabled
        self._resolve = resolve or _resolve

    def accept(self, url: str) -> None:
        """Refuse a URL that nothing would be posted to; blocks on the name service.

        Raises:
            ApiError: 422, naming the field.
        """
        if not self._enabled:
            message = f"{URL_FIELD}: SIGHTLINE_CALLBACK_SECRET is not set, so nothing is posted"
            raise invalid("CALLBACKS_DISABLED", message, field=URL_FIELD, limit="left out")
        try:
            self.locate(url)
        except ForbiddenTargetError as error:
            raise forbidden_url("CALLBACK_FORBIDDEN", f"is not allowed: {error}") from error
        except TransientError as error:
            raise forbidden_url("CALLBACK_UNRESOLVED", f"does not resolve: {error}") from error

    def locate(self, url: str) -> tuple[Target, str]:
        """The URL's parts and the one address to connect to; blocks on the name service.

        Raises:
            ApiError: It is no URL that a callback could be posted to.
            ForbiddenTargetError: It leads to an address that is not allowed.
            TransientError: The host does not resolve at the moment.
        """
        target = parse_url(url)
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise TransientError(f"{target.host} has no address: {error}") from error
        if not addresses:
            raise TransientError(f"{target.host} has no address")
        self._policy.check_addresses(target.host, addresses)
        return target, addresses[0]


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
