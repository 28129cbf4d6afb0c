"""Tells the audit of every answered request that touched personal data."""

import asyncio
from collections.abc import Mapping, MutableMapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.auth import Identity
from mesh.clock import Clock
from results.adapters.http_edge import response_of
from results.domain.audit import Asked, audited
from results.domain.errors import ApiError, unavailable
from results.ports import AuditLog

_FAILED = 500
_PATIENCE_SECONDS = 12.0
"""The broker has five of them, then the database three, perhaps after others."""


class Audited:
    """Stands behind the authentication: whoever is nobody gets no data and no entry."""

    def __init__(self, app: ASGIApp, audit: AuditLog, clock: Clock) -> None:
        self._app = app
        self._audit = audit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; it is answered once its entry is kept, and refused if it is not."""
        identity: Identity | None = scope.get("state", {}).get("identity")
        if scope["type"] != "http" or identity is None:
            await self._app(scope, receive, send)
            return
        noted: dict[str, str] = {}
        scope["state"]["noted"] = noted
        answered = refused = False

        async def watched(message: Message) -> None:
            nonlocal answered, refused
            if message["type"] == "http.response.start":
                answered = True
                settled = self._note(scope, identity, message["status"], noted)
                refusal = None if settled is None else await unkept(settled)
                if refusal is not None:
                    refused = True
                    await response_of(refusal)(scope, receive, send)
            if not refused:
                await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if not answered:
                self._note(scope, identity, _FAILED, noted)

    def _note(
        self, scope: Scope, identity: Identity, status: int, noted: Mapping[str, str]
    ) -> "Future[None] | None":
        asked = Asked(
            method=scope["method"],
            route=getattr(scope.get("route"), "path", ""),
            status=status,
            user_id=identity.subject,
            address=address_of(scope),
            given={**_given(scope), **noted},
        )
        entry = audited(asked, self._clock.now())
        return None if entry is None else self._audit.note(entry)


async def unkept(settled: "Future[None]") -> ApiError | None:
    """Wait until an entry is kept; why whoever it is about must be refused, if it is not."""
    entry = asyncio.wrap_future(settled)
    await asyncio.wait([entry], timeout=_PATIENCE_SECONDS)
    if not entry.done():
        entry.add_done_callback(lambda late: late.exception())  # nobody else asks for it
        reason: object = f"nothing took it in {_PATIENCE_SECONDS:.0f} s"
    else:
        reason = entry.exception()
    if reason is None:
        return None
    message = "the audit entry of this request cannot be kept at the moment, so it is not served"
    return unavailable("AUDIT_UNAVAILABLE", message, dependency="audit", reason=str(reason))


def address_of(scope: MutableMapping[str, Any]) -> str | None:
    """Where the request comes from: the peer, which may be a proxy."""
    client = scope.get("client")
    return client[0] if client else None


def _given(scope: MutableMapping[str, Any]) -> dict[str, str]:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    path: dict[str, str] = scope.get("path_params", {})
    return query | path
