"""Bodies of the person registry, in JSON or as a form with a photo."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from mesh.events import Consent
from results.adapters.http_fields import Body, DetectionId, Moment, Name, PageParams
from results.domain.errors import ApiError
from results.domain.picture import MAX_BYTES, decode_base64, too_large

IMAGE = "image"
_FORM = "multipart/form-data"
_JSON = "application/json"
Text = Annotated[str, Field(min_length=1, max_length=200)]
B = TypeVar("B", bound=Body)


class ConsentBody(Body):
    """A person's consent, specification 8.4; `granted_at` is now or an earlier time."""

    consent_type: Literal["face_recognition"] = "face_recognition"
    status: Literal["granted", "withdrawn"]
    granted_at: Moment | None = None
    expires_at: Moment | None = None
    document_version: Text | None = None

    def event(self, now: datetime) -> Consent:
        """As it travels: a withdrawal counts from now, and no clock of a client runs ahead."""
        given = self.granted_at if self.status == "granted" else None
        return Consent(
            consent_type=self.consent_type,
            status=self.status,
            granted_at=min(given or now, now),
            expires_at=self.expires_at,
            document_version=self.document_version,
        )


class PhotoBody(Body):
    """What a person is enrolled from: a photo, or a face that was detected."""

    image: Annotated[
        str | None, Field(description="JPEG or PNG with one face, base64, at most 5 MiB.")
    ] = None
    detection_id: Annotated[
        DetectionId | None, Field(description="A face that the live page or a query showed.")
    ] = None


class FaceBody(PhotoBody):
    """A further sample of a person; consent is needed unless one is in force."""

    consent: ConsentBody | None = None


EXAMPLE: dict[str, Any] = {
    "name": "John Doe",
    "employee_id": "EMP-201",
    "department": "Engineering",
    "consent": {
        "consent_type": "face_recognition",
        "status": "granted",
        "expires_at": "2036-11-06T09:00:00.000Z",
        "document_version": "privacy_policy_v2.1",
    },
    "image": "base64_encoded_jpeg_or_png",
}


class PersonBody(PhotoBody):
    """A new person, with or without a first sample."""

    name: Name
    employee_id: Text | None = None
    department: Text | None = None
    collection: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "default"
    consent: ConsentBody | None = None

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})


class PersonPatch(Body):
    """Changes of a person; what is left out stays."""

    name: Name | None = None
    employee_id: Text | None = None
    department: Text | None = None
    collection: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] | None = None
    status: Literal["active", "inactive"] | None = None
    consent: ConsentBody | None = None


class PersonParams(PageParams):
    """Which persons."""

    search: Annotated[str, Field(max_length=100)] | None = None
    status: Literal["active", "inactive"] | None = None
    collection: Text | None = None


async def read_body(request: Request, model: type[B]) -> tuple[B, bytes | None]:
    """The body and the photo in it, from JSON or from a form.

    A form has the fields of the JSON body, `consent` as JSON text, and the photo as a file.

    Raises:
        ApiError: The body is neither, or the photo is too large or no base64.
        RequestValidationError: The body is not as described.
    """
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if kind == _FORM:
        return await _form(request, model)
    if kind != _JSON:
        raise ApiError(
            415, "UNSUPPORTED_MEDIA_TYPE", f"the body is {kind[:80]!r}",
            field="Content-Type", limit=[_JSON, _FORM],
        )  # fmt: skip
    try:
        plain = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise ApiError(
            400, "INVALID_JSON", message, field="body", limit="JSON (RFC 8259)"
        ) from error
    body = _validated(model, plain)
    text = getattr(body, IMAGE, None)
    return body, None if text is None else decode_base64(text, field=IMAGE)


async def _form(request: Request, model: type[B]) -> tuple[B, bytes | None]:
    plain: dict[str, Any] = {}
    photo: bytes | None = None
    async with request.form(max_files=1, max_fields=20, max_part_size=64 * 1024) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != IMAGE:
                    plain[name] = "<file>"
                elif (value.size or 0) > MAX_BYTES:
                    raise too_large(value.size or 0, field=IMAGE)
                else:
                    photo = await value.read()
            else:
                plain[name] = _object(value) if name == "consent" else value
    body = _validated(model, plain)
    text = getattr(body, IMAGE, None)
    if photo is None and text is not None:
        photo = decode_base64(text, field=IMAGE)
    return body, photo


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _validated(model: type[B], plain: Any) -> B:
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from error
