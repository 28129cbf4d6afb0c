"""What a result says of its frame as a whole: times, models, counts (specification, 5.1)."""

from collections.abc import Sequence
from typing import Any

from mesh.events import FrameHeader, ModelUse, ResultDetection, StageTime
from results.domain.models import DETECTION, OBJECTS, RECOGNITION
from results.domain.times import iso, milliseconds


def summary(detections: Sequence[ResultDetection]) -> dict[str, Any]:
    """How many there are, and how many of them have a name."""
    identified = sum(1 for item in detections if item.decision and item.decision.identified)
    faces = sum(1 for item in detections if item.detection_type == "face")
    counted: dict[str, Any] = {
        "total_detections": len(detections),
        "identified_persons": identified,
        "unknown_persons": faces - identified,
    }
    if detections:
        average = sum(item.confidence for item in detections) / len(detections)
        counted["avg_confidence"] = round(average, 4)
    return counted


def processing_info(frame: FrameHeader, stages: Sequence[StageTime]) -> dict[str, Any]:
    """Where the time went: what is neither detection nor recognition was queue and transport."""
    spent = {stage.stage: milliseconds(stage.started_at, stage.ended_at) for stage in stages}
    ended = max((stage.ended_at for stage in stages), default=frame.received_timestamp)
    total = milliseconds(frame.received_timestamp, ended)
    detection, recognition = spent.get("detection", 0), spent.get("recognition", 0)
    return {
        "frame_id": frame.frame_id,
        "camera_id": frame.camera_id,
        "camera_name": frame.camera_name,
        "timestamp": iso(frame.camera_timestamp),
        "processing_started_at": iso(frame.received_timestamp),
        "processing_completed_at": iso(ended),
        "processing_time_ms": total,
        "queue_time_ms": max(0, total - detection - recognition),
        "detection_time_ms": detection,
        "recognition_time_ms": recognition,
    }


def completed_at(frame: FrameHeader, stages: Sequence[StageTime]) -> str:
    """When the last stage was done."""
    return iso(max((stage.ended_at for stage in stages), default=frame.received_timestamp))


def model_info(models: Sequence[ModelUse]) -> dict[str, Any]:
    """What ran, specification 5.1."""
    by_task = {model.task: model for model in models}
    detector = by_task.get(DETECTION) or by_task.get(OBJECTS)
    embedder = by_task.get(RECOGNITION)
    return {
        "detection_model": _model(detector) if detector else None,
        "recognition_model": (
            _model(embedder) | {"embedding_size": embedder.embedding_size} if embedder else None
        ),
        "further_models": [
            {"task": model.task, **_model(model)}
            for model in models
            if model not in (detector, embedder)
        ],
        "fallback_used": any(model.fallback_used for model in models),
    }


def _model(use: ModelUse) -> dict[str, Any]:
    return {
        "model_id": use.model_id,
        "name": use.name,
        "version": use.version,
        "device": use.device,
        "engine": use.engine,
        "latency_ms": round(use.latency_ms, 1),
        "fallback_used": use.fallback_used,
    }
