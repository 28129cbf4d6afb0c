"""Cameras: register, show, change, delete, start and stop, look at."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from mesh.events import Camera, DetectionConfig, StreamConfig, StreamType
from mesh.identity import new_id
from results.adapters.http_camera_models import (
    CameraBody,
    CameraPatch,
    DetectionConfigBody,
    detection_event,
)
from results.adapters.http_deps import BEARER, Admin, Deps, GatewayDeps, Noted, Operator, Viewer
from results.adapters.http_fields import Body, CameraId, PageParams
from results.adapters.http_stream_events import stream_event
from results.domain.camera_report import render_camera
from results.domain.camera_state import heard_of
from results.domain.cameras import CameraEntry, check_camera, same_peer
from results.domain.errors import ApiError, invalid, not_found
from results.domain.models import heard
from results.domain.tasks import check_tasks

_PICTURE_WAIT_SECONDS = 2.0
router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"], dependencies=BEARER)


class PictureParams(Body):
    """Which picture of a camera."""

    frame_key: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")] | None = None
    width: Annotated[int, Field(ge=16, le=1920)] | None = None


@router.post("", status_code=201, summary="Register a camera")
def add_camera(body: CameraBody, deps: Deps, noted: Noted, _: Admin) -> dict[str, Any]:
    """Register a camera; it connects within seconds if its detection is enabled."""
    now = deps.clock.now()
    _check_tasks(body.detection_config, deps)
    stream, password, extras = _stream(body.stream_config, deps)
    camera = Camera(
        camera_id=body.camera_id or new_id("cam"),
        name=body.name,
        location=body.location.event() if body.location else None,
        node=body.node,
        stream=_sealed(stream, password, deps),
        detection=detection_event(body.detection_config.changes(), DetectionConfig()),
        created_at=now,
        updated_at=now,
        revision=1,
    )
    check_camera(camera, deps.policy.addresses, deps.resolve)
    entry = CameraEntry(camera=camera, extras=extras)
    if not deps.cameras.add(entry):
        message = f"the identifier {camera.camera_id} was used before"
        raise ApiError(409, "CAMERA_EXISTS", message, field="camera_id", limit="a new identifier")
    noted["camera_id"] = camera.camera_id
    return _shown(entry, deps)


@router.get("", summary="List cameras")
def list_cameras(params: Annotated[PageParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """Cameras by name, with state and statistics."""
    page = deps.cameras.cameras(params.paging)
    return page.render("cameras", _all_shown(page.items, deps), params.paging)


@router.get("/{camera_id}", summary="Show a camera")
def show_camera(camera_id: CameraId, deps: Deps, _: Viewer) -> dict[str, Any]:
    """A camera with its state; `status.error` says why there are no pictures."""
    return _shown(known_camera(deps, camera_id), deps)


@router.patch("/{camera_id}", summary="Change a camera")
def change_camera(
    camera_id: CameraId, body: CameraPatch, deps: Deps, _: Operator
) -> dict[str, Any]:
    """Change what is named and keep the rest.

    A new stream configuration without a password keeps the old one only if user, host and port
    stay the same: a password is never sent anywhere else.
    """
    entry = known_camera(deps, camera_id)
    given = body.model_fields_set
    camera, extras = entry.camera, entry.extras
    if "name" in given:
        camera = replace(camera, name=body.name)
    if "location" in given:
        camera = replace(camera, location=body.location.event() if body.location else None)
    if "node" in given:
        camera = replace(camera, node=body.node)
    if "detection_config" in given:
        _check_tasks(body.detection_config, deps, settled=camera.detection.tasks)
        changed = detection_event(body.detection_config.changes(), camera.detection)
        camera = replace(camera, detection=changed)
    if body.stream_config is not None:
        stream, password, extras = _stream(body.stream_config, deps)
        stream = _sealed(stream, password, deps)
        if password is None and same_peer(stream, camera.stream):
            stream = replace(stream, password_encrypted=camera.stream.password_encrypted)
        camera = replace(camera, stream=stream)
    if given & {"stream_config", "node"}:
        check_camera(camera, deps.policy.addresses, deps.resolve)
    return _changed(CameraEntry(camera=camera, extras=extras), deps)


@router.delete("/{camera_id}", status_code=204, summary="Delete a camera")
def delete_camera(camera_id: CameraId, deps: Deps, _: Admin) -> None:
    """Forget a camera; what it saw stays until its retention ends."""
    if not deps.cameras.delete(camera_id, deps.clock.now()):
        raise not_found("camera", camera_id, field="camera_id")


@router.post("/{camera_id}/start-detection", summary="Start continuous detection")
def start_detection(camera_id: CameraId, deps: Deps, _: Operator) -> dict[str, Any]:
    """Capture and process from now on."""
    return _switched(camera_id, deps, enabled=True)


@router.post("/{camera_id}/stop-detection", summary="Stop continuous detection")
def stop_detection(camera_id: CameraId, deps: Deps, _: Operator) -> dict[str, Any]:
    """Disconnect and process nothing until it is started again."""
    return _switched(camera_id, deps, enabled=False)


@router.get(
    "/{camera_id}/picture",
    summary="A recent picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def show_picture(
    camera_id: CameraId, params: Annotated[PictureParams, Query()], deps: Deps, _: Viewer
) -> Response:
    """A picture of the last seconds: of the frame that is named, else the newest.

    Pictures are read while somebody asks for them; the first may take a moment. The header
    `X-Frame-Key` names the frame that is shown.
    """
    found = await deps.pictures.wait(camera_id, params.frame_key, _PICTURE_WAIT_SECONDS)
    if found is None:
        what = f"{camera_id}/{params.frame_key}" if params.frame_key else camera_id
        raise not_found("picture", what, field="frame_key" if params.frame_key else "camera_id")
    data = found.data
    if found.image_format != "jpeg" or (params.width or found.width) < found.width:
        width = params.width or found.width
        try:
            data = await asyncio.to_thread(deps.editor.scale, data, width)
        except ValueError as error:
            raise not_found("readable picture", camera_id, field="camera_id") from error
    headers = {"X-Frame-Key": found.frame_key, "X-Frame-Size": f"{found.width}x{found.height}"}
    return Response(data, media_type="image/jpeg", headers=headers)


def known_camera(deps: GatewayDeps, camera_id: str) -> CameraEntry:
    """A camera of the registry; blocks.

    Raises:
        ApiError: There is no such camera.
    """
    entry = deps.cameras.camera(camera_id)
    if entry is None:
        raise not_found("camera", camera_id, field="camera_id")
    return entry


def _check_tasks(body: DetectionConfigBody, deps: GatewayDeps, settled: Sequence[str] = ()) -> None:
    """Refuse tasks that no loaded model serves, unless the camera has them already.

    Raises:
        ApiError: 422 `TASK_UNAVAILABLE`.
    """
    if "tasks" in body.model_fields_set:
        statuses = heard(deps.state.models(), deps.clock.now())
        check_tasks(body.tasks, statuses, field="detection_config.tasks", settled=settled)


def _switched(camera_id: str, deps: GatewayDeps, *, enabled: bool) -> dict[str, Any]:
    entry = known_camera(deps, camera_id)
    detection = replace(entry.camera.detection, enabled=enabled)
    return _changed(replace(entry, camera=replace(entry.camera, detection=detection)), deps)


def _changed(entry: CameraEntry, deps: GatewayDeps) -> dict[str, Any]:
    camera = replace(entry.camera, updated_at=deps.clock.now(), revision=entry.camera.revision + 1)
    changed = replace(entry, camera=camera)
    if not deps.cameras.change(changed):
        message = "somebody else changed this camera at the same moment; try again"
        raise ApiError(409, "CAMERA_CHANGED", message, field="camera_id")
    return _shown(changed, deps)


def _shown(entry: CameraEntry, deps: GatewayDeps) -> dict[str, Any]:
    return _all_shown([entry], deps)[0]


def _all_shown(entries: Sequence[CameraEntry], deps: GatewayDeps) -> list[dict[str, Any]]:
    now = deps.clock.now()
    statuses = {
        camera.camera_id: heard_of(camera, deps.state.heard(camera.camera_id), now)
        for camera in (entry.camera for entry in entries)
    }
    counts = deps.sessions.counts([status for status in statuses.values() if status is not None])
    return [
        render_camera(
            entry,
            statuses[entry.camera.camera_id],
            subscribers=deps.hub.subscribers(entry.camera.camera_id),
            counts=counts.get(entry.camera.camera_id),
        )
        for entry in entries
    ]


def _stream(body: Any, deps: GatewayDeps) -> tuple[StreamConfig, str | None, dict[str, Any]]:
    stream, password, extras = stream_event(body)
    if stream.stream_type is StreamType.FILE and not deps.policy.allow_file_sources:
        allowed = [kind.value for kind in StreamType if kind is not StreamType.FILE]
        message = "file sources are not allowed here (SIGHTLINE_ALLOW_FILE_SOURCES)"
        field = "stream_config.stream_type"
        raise invalid("FILE_SOURCE_NOT_ALLOWED", message, field=field, limit=allowed)
    return stream, password, extras


def _sealed(stream: StreamConfig, password: str | None, deps: GatewayDeps) -> StreamConfig:
    if password is None:
        return stream
    return replace(stream, password_encrypted=deps.cipher.encrypt(password.encode()))
