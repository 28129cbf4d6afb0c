"""Cameras that the replicas of the camera service found, put together."""

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.events import Answer, FoundDevice, FoundStream
from results.domain.errors import ApiError, unavailable

KINDS = ("onvif", "usb")
"""What can be looked for."""


def merged(answers: Sequence[Answer]) -> list[FoundDevice]:
    """Every device once, however many replicas saw it; of two accounts the one that tells more."""
    best: dict[tuple[str, str], FoundDevice] = {}
    for device in (device for answer in answers for device in answer.devices):
        key = (device.kind, device.identity)
        known = best.get(key)
        if known is None or _worth(device) > _worth(known):
            best[key] = device
    return sorted(best.values(), key=lambda one: (one.kind, one.name or "", one.identity))


def render_found(answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """What a client that looks for cameras is answered.

    Raises:
        ApiError: 503; no replica answered, or none could look.
    """
    if not answers:
        raise unavailable(
            "NO_CAMERA_REPLICA",
            f"no replica of the camera service answered within {seconds:g} s",
            retry_after=5,
            dependency="camera",
        )
    problems = [answer for answer in answers if answer.code is not None]
    if all(answer.status == "error" for answer in answers):
        first = answers[0]
        code = first.code or "DISCOVERY_FAILED"
        raise unavailable(code, first.message, retry_after=5, dependency="camera")
    return {
        "status": "success",
        "answered": len(answers),
        "devices": [_render(device) for device in merged(answers)],
        "problems": [{"code": each.code, "message": each.message} for each in problems],
    }


def _worth(device: FoundDevice) -> tuple[bool, int]:
    return device.error_code is None, len(device.streams)


def _render(device: FoundDevice) -> dict[str, Any]:
    error = {"code": device.error_code, "message": device.error}
    return {
        "kind": device.kind,
        "identity": device.identity,
        "name": device.name,
        "address": device.address,
        "node": device.node,
        "device_id": device.device_id,
        "manufacturer": device.manufacturer,
        "model": device.model,
        "serial": device.serial,
        "clock_offset_ms": device.clock_offset_ms,
        "error": error if device.error_code is not None else None,
        "streams": [_stream(stream) for stream in device.streams],
        "camera": _suggestion(device),
    }


def _stream(stream: FoundStream) -> Mapping[str, Any]:
    names = ("name", "url", "codec", "width", "height", "fps")
    return {name: getattr(stream, name) for name in names}


def _suggestion(device: FoundDevice) -> dict[str, Any] | None:
    """A body for `POST /api/v1/cameras`, without the credentials that are nowhere told."""
    config = _usb(device) if device.kind == "usb" else _rtsp(device.streams)
    if config is None:
        return None
    body = {"name": device.name or device.identity, "stream_config": config}
    return body | {"node": device.node} if device.kind == "usb" else body


def _usb(device: FoundDevice) -> dict[str, Any] | None:
    if device.device_id is None or device.node is None:
        return None
    config: dict[str, Any] = {"stream_type": "USB", "device_id": device.device_id}
    sized = next((each for each in device.streams if each.width and each.height), None)
    return config | ({"resolution": f"{sized.width}x{sized.height}"} if sized else {})


def _rtsp(streams: Sequence[FoundStream]) -> dict[str, Any] | None:
    found = [each for each in streams if each.url and each.url.startswith("rtsp")]
    if not found:
        return None
    config = {"stream_type": "RTSP", "rtsp_url": found[0].url}
    # More than two, or two of one size, are the channels of a recorder.
    if len(found) == 2 and found[0].width != found[1].width:
        config["sub_rtsp_url"] = found[1].url
    return config


def unfit_host(host: str, field: str, why: str) -> ApiError:
    """The refusal of a host that is not to be asked."""
    message = f"{field}: {host[:80]} {why}"
    return ApiError(
        422, "FORBIDDEN_ADDRESS", message, field=field,
        limit="a host outside SIGHTLINE_FORBIDDEN_NETWORKS",
    )  # fmt: skip
