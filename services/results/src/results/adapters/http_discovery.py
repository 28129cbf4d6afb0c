"""`/api/v1/cameras/discover`: cameras that nobody registered yet."""

import asyncio
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from mesh.addresses import ForbiddenAddressError
from mesh.events import Answer, DiscoverCameras
from mesh.identity import new_id
from mesh.stage import Output
from results.adapters.http_deps import BEARER, Deps, GatewayDeps, Operator, Trace
from results.adapters.http_fields import Body, refusal
from results.adapters.http_stream_models import Text
from results.domain.discovery import KINDS, render_found, unfit_host

_COMMANDS = "camera.commands"
_WAY_SECONDS = 0.5
"""For the command and the answers to travel."""
Kind = Literal["onvif", "usb"]
Seconds = Annotated[
    float, Field(ge=0.5, le=30, description="How long is looked; so long the answer takes.")
]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:\[\]-]{1,260}$")]
router = APIRouter(prefix="/api/v1/cameras/discover", tags=["cameras"], dependencies=BEARER)


def _kinds(value: str) -> str:
    if not value or not set(value.split(",")) <= set(KINDS):
        message = f"must be of {', '.join(KINDS)}, by commas"
        raise refusal("VALUE_NOT_ALLOWED", message, limit=list(KINDS))
    return value


class DiscoveryParams(Body):
    """What to look for, and how long."""

    timeout_seconds: Seconds = 5.0
    kinds: Annotated[str, AfterValidator(_kinds)] = ",".join(KINDS)


class DiscoveryBody(Body):
    """What to look for, whom to ask, and the credentials to look streams up with."""

    timeout_seconds: Seconds = 5.0
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=2)] = get_args(Kind)
    hosts: Annotated[tuple[Host, ...], Field(max_length=64)] = ()
    username: Text | None = None
    password: Text | None = None


@router.get("", summary="Look for cameras")
async def discover(
    params: Annotated[DiscoveryParams, Query()], deps: Deps, user: Operator, trace: Trace
) -> dict[str, Any]:
    """Look for cameras in the network (ONVIF) and at the replicas' machines (USB).

    Every replica of the camera service looks for as long as is asked; what they found is put
    together. Cameras that want credentials are found without their streams: use POST.
    """
    kinds = tuple(dict.fromkeys(params.kinds.split(",")))
    return await _found(_command(kinds, params.timeout_seconds, user.subject, deps), deps, trace)


@router.post("", summary="Look for cameras, with credentials")
async def discover_with(
    body: DiscoveryBody, deps: Deps, user: Operator, trace: Trace
) -> dict[str, Any]:
    """Look for cameras, ask these hosts too, and look streams up with these credentials.

    The password travels encrypted and is shown nowhere.
    """
    for number, host in enumerate(body.hosts):
        _check_host(host, f"hosts.{number}", deps)
    password = deps.cipher.encrypt(body.password.encode()) if body.password else None
    command = _command(
        tuple(dict.fromkeys(body.kinds)),
        body.timeout_seconds,
        user.subject,
        deps,
        hosts=body.hosts,
        username=body.username,
        password_encrypted=password,
    )
    return await _found(command, deps, trace)


def _command(
    kinds: tuple[str, ...], seconds: float, user: str, deps: GatewayDeps, **more: Any
) -> DiscoverCameras:
    return DiscoverCameras(
        request_id=new_id("req"),
        kinds=kinds,
        timeout_ms=round(seconds * 1000),
        requested_by=user,
        requested_at=deps.clock.now(),
        **more,
    )


def _check_host(host: str, field: str, deps: GatewayDeps) -> None:
    name, _, port = host.rpartition(":")
    try:
        deps.policy.addresses.check_literal(name if port.isdigit() and name else host)
    except ForbiddenAddressError as error:
        raise unfit_host(
            host, field, "leads where this installation connects to nothing"
        ) from error


async def _found(
    command: DiscoverCameras, deps: GatewayDeps, trace: dict[str, bytes]
) -> dict[str, Any]:
    seconds = command.timeout_ms / 1000 + _WAY_SECONDS
    answers: list[Answer] = []
    with deps.answers.gather(command.request_id) as arriving:
        output = Output(deps.topics(_COMMANDS), command.request_id, command, trace)
        await deps.requests.tell(output)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    answers.append(await arriving.get())
        except TimeoutError:
            return render_found(answers, seconds)
