"""Whether the schema registry answers."""

from http import HTTPStatus

import httpx2

_ANSWER_SECONDS = 2.0


def registry_problem(url: str) -> str | None:
    """What keeps the schema registry from answering, or nothing."""
    # Without TLS there is no need to read certificates: 60 ms of processor time at every look.
    tls = url.startswith("https:")
    try:
        response = httpx2.get(f"{url.rstrip('/')}/subjects", timeout=_ANSWER_SECONDS, verify=tls)
    except httpx2.HTTPError as error:
        return f"the schema registry does not answer: {error}"
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the schema registry answers {response.status_code}"
    return None
