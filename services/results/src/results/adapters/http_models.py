"""Models: what is loaded, how it does, and the command to use another one."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from mesh.events import SwitchModel
from mesh.stage import Output
from results.adapters.http_deps import BEARER, Admin, Deps, Noted, Trace, Viewer
from results.adapters.http_fields import Body
from results.domain.model_report import render_models
from results.domain.model_switch import check_switch, render_switch

_COMMANDS = "model.commands"
_INFO = "Models by task: loaded, or known to the registry"
router = APIRouter(prefix="/api/v1/models", tags=["models"], dependencies=BEARER)
specified = APIRouter(tags=["models"], dependencies=BEARER)
"""The path that the specification names beside those of version 1."""


class SwitchBody(Body):
    """Which model is to serve a task from now on."""

    task: Annotated[
        str,
        Field(
            min_length=1,
            max_length=50,
            description="face-detection or face-recognition",
            examples=["face-detection"],
        ),
    ]
    model_id: Annotated[str, Field(min_length=1, max_length=100, examples=["scrfd-2.5g"])]


@router.get("", summary=_INFO)
@router.get("/info", summary=_INFO)
@specified.get("/api/models/info", summary=_INFO)
def models(deps: Deps, _: Viewer) -> dict[str, Any]:
    """Every model with its processes, as their heartbeats tell, specification 7.1.

    `detection_models`, `recognition_models` and a list for each further task; `tasks` says what
    cameras and requests may look for at the moment. What a process does not tell is left out.
    A model is `loaded` while a process reports it, and listed as `silent` for a minute after.
    `priority` is 1 for a model that serves; others have none, since each process asks one model,
    and its stand-ins are listed when they serve. `accuracy_lfw`, `accuracy_map` and
    `min_face_size` are the registry's, where somebody measured them (`accuracy_origin` says on
    what). `memory_mb` is the resident memory of a whole process, the same for every model in it;
    of several processes the largest.
    """
    return render_models(deps.state.models(), deps.known_models, deps.clock.now())


@router.post("/switch", status_code=202, summary="Use another model for a task")
async def switch(
    body: SwitchBody, deps: Deps, user: Admin, noted: Noted, trace: Trace
) -> dict[str, Any]:
    """Tell every process that serves the task to load a model and go on with it.

    Answers 202 once the command is published; the list of models shows who has switched, and an
    event tells how it went. A process that cannot load the model keeps its own.
    """
    now = deps.clock.now()
    serving = check_switch(body.task, body.model_id, deps.state.models(), deps.known_models, now)
    noted["model_id"] = body.model_id
    command = SwitchModel(
        model_id=body.model_id, task=body.task, requested_by=user.subject, requested_at=now
    )
    await deps.requests.tell(Output(deps.topics(_COMMANDS), body.model_id, command, trace))
    return render_switch(command, serving, now)
