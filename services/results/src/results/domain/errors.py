"""What a client is told when a request cannot be served (specification, section 5.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.errors import TransientError

Limit = int | float | str | Sequence[str]
"""What would have been accepted: a bound, a pattern, or the list of allowed values."""


class ApiError(Exception):
    """A request that is refused, with everything that the client needs to put it right.

    Args:
        status: HTTP status.
        code: Error code for machines, in capitals.
        message: Sentence for people.
        field: The field at fault, as a dotted path.
        limit: What would have been accepted.
        details: Further members of the error.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        limit: Limit | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.limit = limit
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def envelope(self) -> dict[str, Any]:
        """The body of the answer."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "limit": self.limit,
        }
        return {"status": "error", "error": error | self.details}


def invalid(code: str, message: str, *, field: str, limit: Limit | None = None) -> ApiError:
    """A value that cannot be accepted."""
    return ApiError(422, code, message, field=field, limit=limit)


def not_allowed(field: str, value: object, allowed: Sequence[str], *, code: str) -> ApiError:
    """A value outside its list."""
    shown = str(value)[:80]
    message = f"{field} is {shown!r}; allowed: {', '.join(allowed) or 'none'}"
    return ApiError(422, code, message, field=field, limit=list(allowed))


def not_found(kind: str, identifier: str, *, field: str) -> ApiError:
    """Something that does not exist; the code is `<KIND>_NOT_FOUND`."""
    code = f"{kind.upper().replace(' ', '_')}_NOT_FOUND"
    message = f"no {kind} {identifier[:80]!r}"
    return ApiError(404, code, message, field=field, limit=f"an existing {kind}")


def unavailable(code: str, message: str, *, retry_after: int = 1, **details: Any) -> ApiError:
    """Something that may work again soon."""
    headers = {"Retry-After": str(retry_after)}
    return ApiError(503, code, message, details=details, headers=headers)


class AwayError(TransientError):
    """Something that this service depends on cannot be reached.

    Args:
        dependency: broker, registry, database or object_store.
        message: What was tried, and what happened.
    """

    def __init__(self, dependency: str, message: str) -> None:
        super().__init__(message)
        self.dependency = dependency


class UnansweredError(AwayError):
    """Something was asked to do a thing and did not say whether it did; it still may."""


_UNAVAILABLE = {"broker": "MESH_UNAVAILABLE", "registry": "MESH_UNAVAILABLE"}


def away(dependency: str, reason: str) -> ApiError:
    """503 that names what is away."""
    code = _UNAVAILABLE.get(dependency, "STORE_UNAVAILABLE")
    message = f"the {dependency.replace('_', ' ')} cannot be reached at the moment"
    return unavailable(code, message, dependency=dependency, reason=reason)
