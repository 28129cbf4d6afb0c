"""Signing in by HTTP digest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import aiohttp
from typing_extensions import override
from yarl import URL

_CHALLENGE = "www-authenticate"


@dataclass(frozen=True, slots=True)
class _Challenge:
    """What of an answer decides how to sign in."""

    status: int
    url: URL
    headers: Mapping[str, str]


class Digest(aiohttp.DigestAuthMiddleware):
    """Digest also where the camera offers it after Basic: aiohttp looks at the first offer only."""

    @override
    def _authenticate(self, response: aiohttp.ClientResponse) -> bool:
        offers = response.headers.getall(_CHALLENGE, [])
        digest = next((offer for offer in offers if offer.lower().startswith("digest ")), None)
        if digest is None:
            return False
        told = _Challenge(response.status, response.url, {_CHALLENGE: digest})
        return super()._authenticate(cast(aiohttp.ClientResponse, told))
