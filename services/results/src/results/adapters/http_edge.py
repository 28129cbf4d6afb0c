"""What every HTTP request passes before it is looked at: identifier, size, token."""

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.auth import Identity, InvalidTokenError, Tokens
from mesh.identity import new_id
from mesh.logs import handling_request
from mesh.tracing import TRACEPARENT, TraceContext
from results.adapters.http_deps import COOKIE
from results.domain.errors import ApiError, unavailable

MAX_BODY = 8 * 1024 * 1024
"""A picture of 5 MiB in base64, and what is around it."""
REQUEST_ID = "X-Request-ID"
_API = "/api/"
_SANE = re.compile(r"[\x21-\x7e]{1,128}")
_PICTURES = re.compile(r".*/(?:snapshot|picture)/?")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
UNAUTHORIZED = ApiError(
    401,
    "UNAUTHORIZED",
    "a valid bearer token is required",
    field="Authorization",
    limit="Bearer <token>",
    headers={"WWW-Authenticate": "Bearer"},
)
"""The same for every reason: it tells nothing to who guesses."""


class RequestIds:
    """Gives each request an identifier, echoes the client's, and sets security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _SANE.fullmatch(given) else new_id("req")
        _state(scope)["request_id"] = request_id
        parent = TraceContext.parse(Headers(scope=scope).get(TRACEPARENT, ""))
        trace = parent.child() if parent else TraceContext.new()
        _state(scope)["trace"] = trace
        path: str = scope["path"]

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _POLICY)
                if path.startswith(_API):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        with handling_request(trace, request_id):
            await self._app(scope, receive, stamped)


class Unfinished:
    """Sends clients elsewhere whose requests outlast a stop: the server cancels these."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if answered or scope["type"] != "http":
                raise
            message = "this gateway stops before the request is done; ask again"
            await _respond(unavailable("GATEWAY_STOPPING", message), scope, receive, send)


class BodyLimit:
    """Refuses bodies that no valid request has, before they are read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await _respond(body_too_large(), scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                # The body is read inside the framework, which lets only its own errors through.
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


class Authentication:
    """Lets only requests with a valid token reach the API."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].startswith(_API):
            identity = self._identity(scope)
            if identity is None:
                await _respond(UNAUTHORIZED, scope, receive, send)
                return
            _state(scope)["identity"] = identity
        await self._app(scope, receive, send)

    def _identity(self, scope: Scope) -> Identity | None:
        headers = Headers(scope=scope)
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" and _cookie_allowed(scope):
            token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        elif kind.lower() != "bearer":
            return None
        return identity_for(self._tokens, token.strip())


def identity_for(tokens: Tokens, token: str) -> Identity | None:
    """Who a token was issued to, if it is valid."""
    try:
        return tokens.verify(token)
    except InvalidTokenError:
        return None


def body_too_large() -> ApiError:
    """The refusal of a body that is too large."""
    message = f"the body has more than {MAX_BODY} bytes"
    return ApiError(413, "BODY_TOO_LARGE", message, field="body", limit=MAX_BODY)


def response_of(error: ApiError) -> JSONResponse:
    """An error as the client sees it."""
    return JSONResponse(error.envelope(), error.status, headers=error.headers)


def _cookie_allowed(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and _PICTURES.fullmatch(scope["path"]) is not None


def _state(scope: Scope) -> MutableMapping[str, Any]:
    state: MutableMapping[str, Any] = scope.setdefault("state", {})
    return state


async def _respond(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    await response_of(error)(scope, receive, send)
