"""Builders and doubles for tests: plausible events with the changes that a test is about.

Every builder takes the fields of its event as keywords. Identifiers that follow from others
(`frame_key`, `detection_id`) are derived unless they are given.
"""

from mesh.memory import InMemoryBroker
from mesh.testing.faces import (
    MODEL_ID,
    a_candidate,
    a_decision,
    a_detected_face,
    a_frame_detected,
    a_frame_recognized,
    a_frame_result,
    a_quality,
    a_recognized_face,
    a_result_detection,
    a_sighting,
    an_embedding,
)
from mesh.testing.frames import (
    CAMERA_ID,
    EPOCH,
    NOON,
    PERSON_ID,
    a_camera,
    a_detection_config,
    a_frame_captured,
    a_frame_header,
    a_person,
    a_record,
    a_request,
    a_stage_time,
    an_enrollment,
)

__all__ = [
    "CAMERA_ID",
    "EPOCH",
    "MODEL_ID",
    "NOON",
    "PERSON_ID",
    "InMemoryBroker",
    "a_camera",
    "a_candidate",
    "a_decision",
    "a_detected_face",
    "a_detection_config",
    "a_face",
    "a_frame_captured",
    "a_frame_detected",
    "a_frame_header",
    "a_frame_recognized",
    "a_frame_result",
    "a_person",
    "a_quality",
    "a_recognized_face",
    "a_record",
    "a_request",
    "a_result_detection",
    "a_sighting",
    "a_stage_time",
    "an_embedding",
    "an_enrollment",
]

a_face = a_detected_face
