"""Asking cameras for pictures over HTTP: signing in, redirects, and what refusals mean."""

import ssl
from collections.abc import Mapping, Sequence

import aiohttp
from yarl import URL

from camera.adapters.checked_connections import CheckedNames, CheckedResolver, unreachable
from camera.adapters.digest import Digest
from camera.domain.life import ErrorCode
from camera.domain.redaction import redact
from camera.ports import SourceError
from mesh.addresses import SCHEMES, ForbiddenAddressError
from mesh.credentials import filled
from mesh.events import StreamConfig, StreamType

AUTH_TYPES = ("basic", "digest")
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_UNAUTHORIZED, _FORBIDDEN, _OK = 401, 403, 200
_GONE = {404, 410}
_ACCEPTED = ("multipart/", "image/jpeg", "image/jpg", "image/pjpeg", "application/octet-stream")
_HEADERS = {"Accept": "multipart/x-mixed-replace, image/jpeg, */*;q=0.1"}


class HttpPictures:
    """One pool of connections for all cameras of the process. Made and used in one event loop.

    Args:
        names: Looks hosts up.
        trust: Whose certificates are believed.
    """

    def __init__(self, names: CheckedNames, trust: ssl.SSLContext | None = None) -> None:
        self._names = names
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=CheckedResolver(names),
                use_dns_cache=False,
                ssl=trust or True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            trust_env=False,
            auto_decompress=True,
        )

    async def ask(self, stream: StreamConfig, password: str | None) -> aiohttp.ClientResponse:
        """The camera's answer, its pictures not read yet.

        Raises:
            SourceError: It cannot be reached, refuses, or answers with no pictures.
        """
        try:
            response = await self._follow(stream, password)
            problem = _problem(response)
        except (aiohttp.ClientError, ForbiddenAddressError, OSError, ValueError) as error:
            raise failure(error, password) from error
        if problem is not None:
            response.close()
            raise problem
        return response

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def _follow(self, stream: StreamConfig, password: str | None) -> aiohttp.ClientResponse:
        """The answer at the end of all redirects, asked for with credentials only at the start."""
        asked = filled(stream.url or "", stream.username, password)
        url = start = URL(asked, encoded=True).with_user(None)
        for _ in range(_MOST_REDIRECTS + 1):
            self._names.check_literal(url.host or "")
            if url.origin() == start.origin():
                response = await self._sign_in(url, stream, password)
            else:
                response = await self._get(url, {})
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            url = url.join(URL(response.headers["Location"]))
            if url.scheme not in SCHEMES[StreamType.HTTP_MJPEG] or not url.host:
                raise SourceError(
                    ErrorCode.UNSUPPORTED, f"redirects to {url.scheme[:20]}:, which is not followed"
                )
            url = url.with_user(None)
        raise SourceError(ErrorCode.UNSUPPORTED, f"redirects more than {_MOST_REDIRECTS} times")

    async def _sign_in(
        self, url: URL, stream: StreamConfig, password: str | None
    ) -> aiohttp.ClientResponse:
        """Asks with the credentials as the camera wants them, unless it is told how."""
        how = stream.auth_type
        if stream.username is None:
            return await self._get(url, stream.headers)
        if how is None:
            response = await self._get(url, stream.headers)
            if response.status != _UNAUTHORIZED:
                return response
            how = _asked_for(response)
            response.close()
        if how == "digest":
            digest = Digest(stream.username, password or "", preemptive=False)
            return await self._get(url, stream.headers, middlewares=(digest,))
        credentials = basic_authorization(stream.username, password)
        return await self._get(url, {**stream.headers, "Authorization": credentials})

    async def _get(
        self,
        url: URL,
        headers: Mapping[str, str],
        middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = (),
    ) -> aiohttp.ClientResponse:
        return await self._session.get(
            url,
            headers={**_HEADERS, **headers},
            allow_redirects=False,
            middlewares=middlewares,
        )


def check_sign_in(stream: StreamConfig, auth_types: Sequence[str]) -> None:
    """Refuses a way to sign in that there is not.

    Raises:
        SourceError: Naming the field.
    """
    if stream.auth_type not in (None, *auth_types):
        known = ", ".join(auth_types)
        raise SourceError(ErrorCode.UNSUPPORTED, f"auth_type {stream.auth_type} is none of {known}")
    if ":" in (stream.username or ""):
        raise SourceError(ErrorCode.UNSUPPORTED, "username holds a colon, which no name may")


def basic_authorization(username: str, password: str | None) -> str:
    """The header of the basic scheme (RFC 7617)."""
    return aiohttp.encode_basic_auth(username, password or "", encoding="utf-8")


def failure(error: Exception, *secrets: str | None) -> SourceError:
    """What an error of aiohttp means, without credentials."""
    if isinstance(error, ForbiddenAddressError):
        return SourceError(ErrorCode.FORBIDDEN_ADDRESS, str(error))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", error.certificate_error)
        return SourceError(
            ErrorCode.UNTRUSTED, f"{error.host}: the certificate is not trusted: {why}"
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return SourceError(ErrorCode.UNREACHABLE, f"{error.host}: TLS failed: {error.strerror}")
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        if isinstance(inner, ForbiddenAddressError):
            return SourceError(ErrorCode.FORBIDDEN_ADDRESS, str(inner))
        return unreachable(error.host, inner)
    said = str(error) or type(error).__name__
    return SourceError(ErrorCode.UNREACHABLE, redact(said, *secrets))


def _asked_for(response: aiohttp.ClientResponse) -> str:
    """How the camera wants to be signed in to; the better way where it offers both."""
    offers = response.headers.getall("WWW-Authenticate", [])
    return "digest" if any("digest" in offer.lower() for offer in offers) else "basic"


def _problem(response: aiohttp.ClientResponse) -> SourceError | None:
    """Why an answer brings no pictures."""
    status, kind = response.status, response.content_type
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        words = "name and password are refused or missing"
        return SourceError(ErrorCode.UNAUTHORIZED, f"answers with {status}: {words}")
    if status in _GONE:
        return SourceError(ErrorCode.NOT_FOUND, f"answers with {status}: there is no such stream")
    if status != _OK:
        return SourceError(ErrorCode.UNREACHABLE, f"answers with {status}")
    if not kind.startswith(_ACCEPTED):
        return SourceError(
            ErrorCode.UNSUPPORTED, f"answers with {kind[:80]}, not with multipart or JPEG pictures"
        )
    return None
