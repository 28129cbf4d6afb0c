"""Tells the audit of every answered request that touched personal data."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.auth import Identity
from mesh.clock import Clock
from results.domain.audit import Asked, audited
from results.ports import AuditLog

_FAILED = 500


class Audited:
    """Stands behind the authentication: whoever is nobody gets no data and no entry."""

    def __init__(self, app: ASGIApp, audit: AuditLog, clock: Clock) -> None:
        self._app = app
        self._audit = audit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; nothing waits for its entry."""
        identity: Identity | None = scope.get("state", {}).get("identity")
        if scope["type"] != "http" or identity is None:
            await self._app(scope, receive, send)
            return
        noted: dict[str, str] = {}
        scope["state"]["noted"] = noted
        status = _FAILED

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            asked = Asked(
                method=scope["method"],
                route=getattr(scope.get("route"), "path", ""),
                status=status,
                user_id=identity.subject,
                address=address_of(scope),
                given={**_given(scope), **noted},
            )
            entry = audited(asked, self._clock.now())
            if entry is not None:
                self._audit.note(entry)


def address_of(scope: MutableMapping[str, Any]) -> str | None:
    """Where the request comes from: the peer, which may be a proxy."""
    client = scope.get("client")
    return client[0] if client else None


def _given(scope: MutableMapping[str, Any]) -> dict[str, str]:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    path: dict[str, str] = scope.get("path_params", {})
    return query | path
