"""Using another model for a task: which switches make sense."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from mesh.events import ModelStatus, SwitchModel
from results.domain.errors import ApiError, not_allowed, unavailable
from results.domain.models import DETECTION, RECOGNITION, KnownModel, heard, is_loaded
from results.domain.times import iso

_TASK, _MODEL = "task", "model_id"
SWITCHABLE = (DETECTION, RECOGNITION)
"""Tasks of models that a running process exchanges; the others are loaded at its start."""


def check_switch(
    task: str,
    model_id: str,
    statuses: Iterable[ModelStatus],
    known: Sequence[KnownModel],
    now: datetime,
) -> list[ModelStatus]:
    """Whether a model can take over a task; the models that serve the task now.

    Whether a process finds the model's files only the process itself can tell.

    Raises:
        ApiError: 422 for a task whose model is fixed, or a model of another task, 404 for a model
            that nobody knows, 409 if it serves the task already, 503 while nobody serves it.
    """
    if task not in SWITCHABLE:
        raise not_allowed(_TASK, task, SWITCHABLE, code="MODEL_TASK_UNKNOWN")
    reported = heard(statuses, now)
    tasks = {model.model_id: model.task for model in known}
    tasks |= {status.model_id: status.task for status in reported}
    allowed = sorted(model for model, kind in tasks.items() if kind == task)
    if model_id not in allowed:
        raise _refused(task, model_id, allowed, elsewhere=tasks)
    serving = [each for each in reported if each.task == task and is_loaded(each, now)]
    if not serving:
        message = f"no process serves {task} at the moment; a switch would reach nobody"
        raise unavailable("MODEL_UNAVAILABLE", message, field=_TASK)
    if {each.model_id for each in serving} == {model_id}:
        others = [model for model in allowed if model != model_id]
        message = f"{model_id} serves {task} already; others: {', '.join(others) or 'none'}"
        raise ApiError(409, "MODEL_IN_USE", message, field=_MODEL, limit=others)
    return serving


def render_switch(
    command: SwitchModel, serving: Iterable[ModelStatus], now: datetime
) -> dict[str, Any]:
    """What is answered to an accepted switch."""
    return {
        "status": "accepted",
        "message": f"The processes that serve {command.task} are told to use {command.model_id}",
        "task": command.task,
        "model_id": command.model_id,
        "requested_at": iso(now),
        "serving": [
            {
                "model_id": each.model_id,
                "instance_id": each.instance_id,
                "service": each.service,
                "state": each.state,
            }
            for each in sorted(serving, key=lambda one: (one.model_id, one.instance_id))
        ],
    }


def _refused(
    task: str, model_id: str, allowed: list[str], *, elsewhere: dict[str, str]
) -> ApiError:
    shown, names = model_id[:80], ", ".join(allowed)
    other = elsewhere.get(model_id)
    if other is not None:
        message = f"{_MODEL} is {shown!r}, a model for {other}; for {task}: {names}"
        return ApiError(422, "MODEL_TASK_MISMATCH", message, field=_MODEL, limit=allowed)
    message = f"no model {shown!r}; for {task}: {names}"
    return ApiError(404, "MODEL_NOT_FOUND", message, field=_MODEL, limit=allowed)
