"""Posts one callback: to the address that was checked, signed, and never redirected."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from mesh.errors import TransientError
from mesh.logs import package_version
from results.adapters.callback_targets import CallbackTargets
from results.domain.callbacks import (
    JOB_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    ForbiddenTargetError,
    Target,
    sign,
)
from results.domain.errors import ApiError

_TIMEOUT = httpx2.Timeout(5.0, connect=3.0)
_WHOLE_SECONDS = 10.0
"""For connecting, sending and the answer together, however little comes at a time."""
_MOST_READ = 4096


class CallbackPost:
    """Sends callbacks; safe to use from several threads."""

    def __init__(
        self, targets: CallbackTargets, secret: bytes, *, seconds: float = _WHOLE_SECONDS
    ) -> None:
        self._targets = targets
        self._secret = secret
        self._seconds = seconds
        self._agent = f"sightline/{package_version('results')}"

    def send(self, url: str, job_id: str, body: Mapping[str, Any]) -> None:
        """Post a callback; blocks for seconds.

        The host is resolved once and that very address connected to, so that a name that changes
        its mind between the check and the connection leads nowhere else.

        Raises:
            TransientError: It was not taken; it may be tried again.
        """
        try:
            target, address = self._targets.locate(url)
        except (ApiError, ForbiddenTargetError) as error:
            raise TransientError(f"not allowed: {error}") from error
        data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        try:
            headers = self._headers(target, job_id, data)
            status = asyncio.run(self._post(target, address, data, headers))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TransientError(f"{type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            raise TransientError(f"answered with {status}")

    async def _post(
        self, target: Target, address: str, data: bytes, headers: Mapping[str, str]
    ) -> int:
        """The status that was answered; a time-out ends the connection, wherever it is."""
        url = httpx2.URL(target.url).copy_with(host=address)
        status: int | None = None
        try:
            # The connection goes to the checked address; TLS still proves the name.
            async with (
                asyncio.timeout(self._seconds),
                httpx2.AsyncClient(
                    timeout=_TIMEOUT, follow_redirects=False, trust_env=False
                ) as client,
                client.stream(
                    "POST",
                    url,
                    content=data,
                    headers=headers,
                    extensions={"sni_hostname": target.host},
                ) as response,
            ):
                status = response.status_code
                read = 0
                async for chunk in response.aiter_raw():
                    read += len(chunk)
                    if read > _MOST_READ:
                        break  # nothing that it says matters
        except TimeoutError as error:
            if status is None:
                raise TransientError(f"no answer within {self._seconds:g} s") from error
        return status

    def _headers(self, target: Target, job_id: str, data: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        usual = 443 if target.scheme == "https" else 80
        name = f"[{target.host}]" if ":" in target.host else target.host
        return {
            "Host": name if target.port == usual else f"{name}:{target.port}",
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            JOB_HEADER: job_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: sign(self._secret, timestamp, data),
        }
