"""The REST API of the gateway, as far as the demo uses it."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from mesh.errors import TransientError


class Gateway:
    """Registers cameras and people through the public API, as any client would.

    Args:
        url: The gateway's address.
        token: A bearer token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Opens nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the connections."""
        self._http.close()

    def has(self, path: str) -> bool:
        """Whether the API has a resource.

        Raises:
            TransientError: The gateway does not answer, or with another error.
        """
        answer = self._send("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        _checked(answer)
        return True

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a resource and returns it as the API shows it.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        return _checked(self._send("POST", path, json=dict(body)))

    def change(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a resource and returns it as the API shows it.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        return _checked(self._send("PUT", path, json=dict(body)))

    def upload(self, path: str, picture: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Sends a picture with form fields and returns the answer.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        with picture.open("rb") as stream:
            part = {"photo": (picture.name, stream, "image/jpeg")}
            return _checked(self._send("POST", path, files=part, data=dict(fields)))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise TransientError(f"the gateway does not answer {method} {path}: {error}") from error


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        request = answer.request
        raise TransientError(
            f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:1000]}"
        )
    body = answer.json()
    return body if isinstance(body, dict) else {"items": body}
