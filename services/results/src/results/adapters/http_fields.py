"""Kinds of fields that bodies, queries and paths share."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import Header
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from mesh.identity import is_id
from results.domain.queries import MAX_PAGE, MAX_PAGE_SIZE, Paging
from results.domain.times import parse

_KEY = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_KEY_LIMIT = "1 to 255 visible ASCII characters without quotes and backslashes"
TIME_LIMIT = "ISO 8601 with a time zone, such as 2025-11-06T12:45:23.123Z"


class Body(BaseModel):
    """A JSON object that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown(cls, value: Any) -> Any:
        """Name the first unknown field and the known ones."""
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for name in value:
                if name not in known:
                    raise refusal(
                        "UNKNOWN_FIELD", f"unknown field; known: {', '.join(known)}",
                        limit=known, field=str(name)[:80],
                    )  # fmt: skip
        return value


def refusal(
    code: str, message: str, *, limit: str | Sequence[str], field: str | None = None
) -> PydanticCustomError:
    """A problem that our own validation found; braces of a client's text stay what they are."""
    context: dict[str, Any] = {"code": code, "limit": limit, "text": message}
    if field is not None:
        context["field"] = field
    return PydanticCustomError("refused", "{text}", context)


def _identifier(prefix: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not is_id(prefix, value):
            raise refusal("INVALID_ID", f"must be {prefix}_<uuid>", limit=f"{prefix}_<uuid>")
        return value

    return check


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise refusal("INVALID_TIMESTAMP", f"must be {TIME_LIMIT}", limit=TIME_LIMIT)
    try:
        return parse(value)
    except ValueError as error:
        message = f"must be {TIME_LIMIT}: {error}"
        raise refusal("INVALID_TIMESTAMP", message, limit=TIME_LIMIT) from error


CameraId = Annotated[
    str,
    AfterValidator(_identifier("cam")),
    Field(examples=["cam_550e8400-e29b-41d4-a716-446655440000"]),
]
PersonId = Annotated[
    str,
    AfterValidator(_identifier("per")),
    Field(examples=["per_7c9e6679-7425-40de-944b-e07fc1f90ae7"]),
]
FaceId = Annotated[str, AfterValidator(_identifier("face"))]
DetectionId = Annotated[str, AfterValidator(_identifier("det"))]
RequestId = Annotated[str, AfterValidator(_identifier("req"))]


def _job_or_request(value: str) -> str:
    if not is_id("job", value) and not is_id("req", value):
        limit = "job_<uuid> or req_<uuid>"
        raise refusal("INVALID_ID", f"must be {limit}", limit=limit)
    return value


def _key(value: str) -> str:
    """A key as it is, or as the quoted string that the header's draft asks for."""
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    key = value[1:-1] if quoted else value
    if not _KEY.fullmatch(key):
        raise refusal("INVALID_FORMAT", f"must be {_KEY_LIMIT}", limit=_KEY_LIMIT)
    return key


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Names this request, so that it may be sent again; a UUID, say.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
    AfterValidator(lambda value: None if value is None else _key(value)),
]
JobId = Annotated[
    str,
    AfterValidator(_job_or_request),
    Field(examples=["job_7c9e6679-7425-40de-944b-e07fc1f90ae7"]),
]
Moment = Annotated[datetime, BeforeValidator(_moment), Field(examples=["2025-11-06T12:45:23.123Z"])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Share = Annotated[float, Field(ge=0, le=1)]
Task = Literal[
    "face", "person", "vehicle", "object", "drowsiness", "liveness", "activity", "age_gender"
]
"""What to look for in pictures; the names of `mesh.tasks.NEEDS`."""
TASKS: tuple[str, ...] = get_args(Task)


class PageParams(Body):
    """Which part of a list the client wants; the base of every list's query."""

    page: Annotated[int, Field(ge=1, le=MAX_PAGE, description="From 1.")] = 1
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE, description="Items a page.")] = 20

    @property
    def paging(self) -> Paging:
        """The page."""
        return Paging(page=self.page, page_size=self.page_size)
