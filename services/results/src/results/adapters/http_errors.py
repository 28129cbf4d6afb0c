"""Every failure as the specification's envelope, with the field and what it may be."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mesh.errors import TransientError
from results.adapters.http_edge import body_too_large, response_of
from results.domain.errors import ApiError, AwayError, Limit, away

_log = logging.getLogger(__name__)
_QUOTED = re.compile(r"'([^']*)'")
_PLACES = ("body", "query", "path", "header", "cookie")
_MOST_SHOWN = 10
_CODES = {
    "missing": "MISSING_FIELD",
    "unknown_field": "UNKNOWN_FIELD",
    "extra_forbidden": "UNKNOWN_FIELD",
    "enum": "VALUE_NOT_ALLOWED",
    "literal_error": "VALUE_NOT_ALLOWED",
    "union_tag_invalid": "VALUE_NOT_ALLOWED",
    "union_tag_not_found": "MISSING_FIELD",
    "string_pattern_mismatch": "INVALID_FORMAT",
    "string_too_long": "TOO_LONG",
    "too_long": "TOO_LONG",
    "string_too_short": "TOO_SHORT",
    "too_short": "TOO_SHORT",
    "greater_than": "OUT_OF_RANGE",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "finite_number": "OUT_OF_RANGE",
}
_WORDS = {"missing": "required", "int_from_float": "integer"}
_BOUNDS = ("limit", "ge", "gt", "le", "lt", "max_length", "min_length", "pattern")


def install(app: FastAPI) -> None:
    """Answer every failure of this application in the envelope."""

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> JSONResponse:
        return response_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return response_of(of_validation(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> JSONResponse:
        return response_of(of_status(request, error))

    @app.exception_handler(TransientError)
    async def unreachable(_: Request, error: TransientError) -> JSONResponse:
        dependency = error.dependency if isinstance(error, AwayError) else "store"
        _log.warning("the %s is away: %s", dependency, error)
        return response_of(away(dependency, "it did not answer"))

    @app.exception_handler(Exception)
    async def crashed(request: Request, _: Exception) -> JSONResponse:
        # The server logs the exception with its trace; the client gets an identifier to tell us.
        details = {"request_id": getattr(request.state, "request_id", None)}
        return response_of(ApiError(500, "INTERNAL_ERROR", "something broke", details=details))


def of_status(request: Request, error: HTTPException) -> ApiError:
    """A refusal of the framework itself, such as an unknown path."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return body_too_large()
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"nothing is at {request.url.path[:200]}"
        return ApiError(404, "NOT_FOUND", message, field="path", limit="see /docs")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = [
            name.strip() for name in headers.get("allow", headers.get("Allow", "")).split(",")
        ]
        message = f"{request.method} is not possible here; allowed: {', '.join(allowed)}"
        return ApiError(
            405, "METHOD_NOT_ALLOWED", message, field="method", limit=allowed, headers=headers
        )
    code = HTTPStatus(error.status_code).name
    return ApiError(error.status_code, code, str(error.detail), headers=headers)


def of_validation(problems: Sequence[Mapping[str, Any]]) -> ApiError:
    """A body, query or path that is not as described; the first problem leads, all are listed."""
    known = [_problem(problem) for problem in problems[:_MOST_SHOWN]]
    first = known[0]
    unparsable = first["code"] == "INVALID_JSON"
    return ApiError(
        400 if unparsable else 422,
        first["code"],
        first["message"],
        field=first["field"],
        limit=first["limit"],
        details={"problems": known} if len(known) > 1 else None,
    )


def _problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    kind, context = str(problem["type"]), problem.get("ctx", {})
    field = _field(problem, context)
    if kind == "json_invalid":
        message = f"the body is not JSON: {context.get('error', problem['msg'])}"
        return {
            "code": "INVALID_JSON", "message": message, "field": "body", "limit": "JSON (RFC 8259)"
        }  # fmt: skip
    limit = _limit(kind, problem, context)
    message = f"{field}: {problem['msg']}"
    return {"code": _code(kind, context), "message": message, "field": field, "limit": limit}


def _code(kind: str, context: Mapping[str, Any]) -> str:
    if "code" in context:
        return str(context["code"])
    usual = "INVALID_TYPE" if kind.endswith(("_type", "_parsing")) else "INVALID_VALUE"
    return _CODES.get(kind, usual)


def _field(problem: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    place, *rest = problem["loc"] or ("body",)
    parts = [str(part) for part in ([] if place in _PLACES else [place]) + rest]
    # A tagged union puts the tag into the path, where the client has no field of that name.
    parts = [part for part in parts if not part.isupper()]
    if problem["type"].startswith("union_tag"):
        parts.append(_unquoted(str(context.get("discriminator", "stream_type"))))
    if "field" in context:
        parts.append(str(context["field"]))
    return ".".join(parts) or "body"


def _limit(kind: str, problem: Mapping[str, Any], context: Mapping[str, Any]) -> Limit | None:
    if kind in ("literal_error", "enum"):
        return _QUOTED.findall(str(context.get("expected", "")))
    if kind.startswith("union_tag"):
        return _QUOTED.findall(str(context.get("expected_tags", ""))) or "required"
    for name in _BOUNDS:
        if name in context:
            bound: Limit = context[name]
            return bound
    if kind in _WORDS:
        return _WORDS[kind]
    if kind.endswith(("_type", "_parsing")):
        return kind.removesuffix("_type").removesuffix("_parsing").replace("_", " ")
    return str(problem["msg"]) if kind in _CODES else None


def _unquoted(text: str) -> str:
    return text.strip("'")
