"""Which requests touch personal data, and what the audit says of them: identifiers, never names."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mesh.events import AuditEntry
from mesh.identity import is_id, new_id

ACCESS = "data_access"
MODIFICATION = "data_modification"
_FORBIDDEN = 403
_REFUSED = 400
ANY = "*"
"""In place of an identifier: a list, or nothing that is one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind of request is audited."""

    audit_type: str
    action: str
    kind: str
    """What is read or changed."""
    identifier: str | None = None
    """The parameter that names it; a list has none."""
    told_by_gallery: bool = False
    noted: bool = False
    """The handler has checked the identifier, which is none of a person or a thing seen."""
    """Recognition audits what it carries out; here only who was not allowed to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that was answered."""

    method: str
    route: str
    """Its template."""
    status: int
    user_id: str
    address: str | None
    given: Mapping[str, str]
    """Parameters, and what the handler noted."""


def _reads(action: str, kind: str, identifier: str | None = None) -> Rule:
    return Rule(ACCESS, action, kind, identifier)


def _changes(action: str, kind: str, identifier: str | None, *, gallery: bool = False) -> Rule:
    return Rule(MODIFICATION, action, kind, identifier, gallery)


_V1 = "/api/v1"
RULES: Mapping[tuple[str, str], Rule] = {
    ("GET", f"{_V1}/detections/live"): _reads("view_live_detections", "camera", "camera_id"),
    ("GET", f"{_V1}/detections"): _reads("list_detections", "detection"),
    ("GET", f"{_V1}/detections/{{detection_id}}"): _reads(
        "view_detection", "detection", "detection_id"
    ),
    ("GET", f"{_V1}/detections/{{detection_id}}/snapshot"): _reads(
        "view_snapshot", "detection", "detection_id"
    ),
    ("POST", f"{_V1}/detections/process-frame"): _reads("process_frame", "detection"),
    ("GET", f"{_V1}/jobs/{{job_id}}"): _reads("view_job", "job", "job_id"),
    ("GET", f"{_V1}/requests/{{request_id}}"): _reads("view_request", "request", "request_id"),
    ("GET", f"{_V1}/sightings"): _reads("list_sightings", "sighting"),
    ("GET", f"{_V1}/persons"): _reads("list_persons", "person"),
    ("GET", f"{_V1}/persons/{{person_id}}"): _reads("view_person", "person", "person_id"),
    ("GET", f"{_V1}/persons/{{person_id}}/faces"): _reads("list_faces", "person", "person_id"),
    ("POST", f"{_V1}/persons"): _changes("create_person", "person", None, gallery=True),
    ("PATCH", f"{_V1}/persons/{{person_id}}"): _changes(
        "update_person", "person", "person_id", gallery=True
    ),
    ("DELETE", f"{_V1}/persons/{{person_id}}"): _changes(
        "erase_person", "person", "person_id", gallery=True
    ),
    ("POST", f"{_V1}/persons/{{person_id}}/faces"): _changes(
        "enroll_face", "person", "person_id", gallery=True
    ),
    ("DELETE", f"{_V1}/persons/{{person_id}}/faces/{{face_id}}"): _changes(
        "delete_face", "face", "face_id", gallery=True
    ),
    ("POST", f"{_V1}/cameras"): _changes("create_camera", "camera", "camera_id"),
    ("GET", f"{_V1}/cameras/discover"): _reads("discover_cameras", "camera"),
    ("POST", f"{_V1}/cameras/discover"): _reads("discover_cameras", "camera"),
    ("PATCH", f"{_V1}/cameras/{{camera_id}}"): _changes("update_camera", "camera", "camera_id"),
    ("DELETE", f"{_V1}/cameras/{{camera_id}}"): _changes("delete_camera", "camera", "camera_id"),
    ("POST", f"{_V1}/cameras/{{camera_id}}/start-detection"): _changes(
        "start_detection", "camera", "camera_id"
    ),
    ("POST", f"{_V1}/cameras/{{camera_id}}/stop-detection"): _changes(
        "stop_detection", "camera", "camera_id"
    ),
    ("POST", f"{_V1}/models/switch"): Rule(
        MODIFICATION, "switch_model", "model", "model_id", noted=True
    ),
}
"""By method and route; what is not here shows nobody and changes nothing that is stored."""


def audited(asked: Asked, now: datetime) -> AuditEntry | None:
    """What the audit says of a request; nothing if it touched no data or was merely wrong."""
    rule = RULES.get((asked.method, asked.route))
    denied = asked.status == _FORBIDDEN
    if rule is None or (not denied and (asked.status >= _REFUSED or rule.told_by_gallery)):
        return None
    person = _identifier(asked.given.get("person_id"))
    return AuditEntry(
        audit_id=new_id("aud"),
        audit_type=rule.audit_type,
        occurred_at=now,
        user_id=asked.user_id,
        action=rule.action,
        resource=f"{rule.kind}:{_concerned(rule, asked, denied=denied) or ANY}",
        person_id=person,
        ip_address=asked.address,
        result="denied" if denied else "success",
    )


def subscribed(user_id: str, address: str | None, camera_id: str, now: datetime) -> AuditEntry:
    """What the audit says of a client that follows the live feed of a camera, or of all."""
    return _connected(ACCESS, "follow_live_detections", user_id, address, camera_id, now)


def pushing(user_id: str, address: str | None, camera_id: str, now: datetime) -> AuditEntry:
    """What the audit says of a client that pushes the pictures of a camera."""
    return _connected(MODIFICATION, "push_pictures", user_id, address, camera_id, now)


def _connected(
    audit_type: str, action: str, user_id: str, address: str | None, camera_id: str, now: datetime
) -> AuditEntry:
    return AuditEntry(
        audit_id=new_id("aud"),
        audit_type=audit_type,
        occurred_at=now,
        user_id=user_id,
        action=action,
        resource=f"camera:{_identifier(camera_id) or ANY}",
        ip_address=address,
        result="success",
    )


def _concerned(rule: Rule, asked: Asked, *, denied: bool) -> str | None:
    value = asked.given.get(rule.identifier or "")
    if rule.noted:
        return None if denied else value
    return _identifier(value)


def _identifier(value: str | None) -> str | None:
    """The value if it is an identifier: a refused path may be any text, a name for instance."""
    if value is not None and is_id(value.partition("_")[0], value) and len(value) <= _LONGEST:
        return value
    return None


_LONGEST = 50
