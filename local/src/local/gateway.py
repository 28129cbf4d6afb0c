"""The REST API of the gateway, as far as the demo uses it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from mesh.errors import TransientError

_PATIENCE = 180.0
_ASK_EVERY = 0.25


class Gateway:
    """Registers cameras and people through the public API, as any client would.

    Args:
        url: The gateway's address.
        token: A bearer token.
        transport: What carries the requests, if not the network.
    """

    def __init__(self, url: str, token: str, transport: httpx2.BaseTransport | None = None) -> None:
        self._http = httpx2.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
            transport=transport,
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
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return False
        _checked(answer)
        return True

    def await_resource(self, path: str) -> None:
        """Waits until the API has a resource that was created through the mesh.

        Raises:
            TransientError: It has none in time.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self.has(path):
            if time.monotonic() > deadline:
                raise TransientError(f"{path} did not appear within {_PATIENCE:g} s")
            time.sleep(_ASK_EVERY)

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a resource and returns the outcome.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        return self._settled(_checked(self._send("POST", path, json=dict(body))))

    def change(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a resource and returns it as the API shows it.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        return _checked(self._send("PATCH", path, json=dict(body)))

    def upload(self, path: str, picture: Path, consent: Mapping[str, str]) -> dict[str, Any]:
        """Sends a picture with its person's consent and returns the outcome.

        Raises:
            TransientError: The gateway refuses or does not answer; the message has its answer.
        """
        with picture.open("rb") as stream:
            part = {"image": (picture.name, stream, "image/jpeg")}
            form = {"consent": json.dumps(dict(consent))}
            return self._settled(_checked(self._send("POST", path, files=part, data=form)))

    def _settled(self, body: dict[str, Any]) -> dict[str, Any]:
        """The outcome of what was only accepted at first."""
        deadline = time.monotonic() + _PATIENCE
        outcome = body
        while outcome.get("status") == "accepted":
            if time.monotonic() > deadline:
                raise TransientError(f"no answer to {body['request_id']} in {_PATIENCE:g} s")
            time.sleep(_ASK_EVERY)
            outcome = _checked(self._send("GET", f"/requests/{body['request_id']}"))
        return body | outcome

    def _send(self, method: str, path: str, **content: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx2.HTTPError as error:
            raise TransientError(f"the gateway does not answer {method} {path}: {error}") from error


def _checked(answer: httpx2.Response) -> dict[str, Any]:
    body = answer.json() if answer.content else {}
    if not answer.is_success or body.get("status") in ("rejected", "error"):
        request = answer.request
        raise TransientError(
            f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:1000]}"
        )
    return dict(body)
