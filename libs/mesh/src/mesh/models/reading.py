"""From the tables of a registry file to models and packs."""

import re
from collections.abc import Mapping
from typing import cast

from mesh.models.spec import TASKS, Accuracy, InputSpec, ModelFile, ModelSpec, Pack, Triple
from mesh.models.table import Table

ENGINES = ("onnxruntime", "openvino", "torch", "dlib")
"""Runtimes that a model can name."""

OPTIONAL = {
    "landmarks": "face-landmarks",
    "eye_state": "eye-state",
    "head_pose": "head-pose",
    "objects": "object-detection",
    "liveness": "liveness",
    "age_gender": "age-gender",
}
"""Field of a pack, and the task that its models must have."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_model(model_id: str, table: Table) -> ModelSpec:
    """One `[models."<id>"]` table.

    Raises:
        ConfigurationError: a field is missing, wrong or not known; the message names it.
    """
    engines = _engines(table)
    model = ModelSpec(
        model_id=model_id,
        task=table.choice("task", TASKS),
        name=table.text("name"),
        version=table.text("version"),
        engine=engines[0],
        engines=engines,
        licence=table.text("licence"),
        commercial=table.flag("commercial"),
        accept=table.optional_text("accept"),
        files=tuple(_file(item) for item in table.tables("files")),
        embedding_size=table.integer("embedding_size", 1) if table.has("embedding_size") else None,
        aliases=table.texts("aliases", ()),
        input=_input(table.table("input")) if table.has("input") else None,
        alignment=table.optional_text("alignment"),
        thresholds=_thresholds(table.table("thresholds")) if table.has("thresholds") else {},
        decoder=table.optional_text("decoder"),
        accuracy=_accuracy(table.table("accuracy")) if table.has("accuracy") else None,
        min_face_size=table.integer("min_face_size", 1) if table.has("min_face_size") else None,
    )
    table.close()
    _check(model, table)
    return model


def _check(model: ModelSpec, table: Table) -> None:
    if model.task == "face-recognition" and model.embedding_size is None:
        raise table.wrong("embedding_size", "is missing; a face-recognition model has one")
    if model.task == "face-recognition" and model.input and model.alignment is None:
        raise table.wrong("alignment", "is missing; faces are aligned before they are embedded")
    if model.task == "face-detection" and model.input and model.decoder is None:
        raise table.wrong("decoder", "is missing; without it nobody can read the outputs")


def _engines(table: Table) -> tuple[str, ...]:
    engines = table.texts("engines")
    for engine in engines:
        if engine not in ENGINES:
            raise table.wrong("engines", f"{engine} is none of {', '.join(ENGINES)}")
    if not engines:
        raise table.wrong("engines", "must not be empty")
    return engines


def _file(table: Table) -> ModelFile:
    file = ModelFile(
        name=table.text("name"),
        bytes=table.integer("bytes", 0, default=0),
        sha256=table.text("sha256", ""),
        repository=table.optional_text("repository"),
        commit=table.optional_text("commit"),
        path=table.optional_text("path"),
        origin=table.optional_text("origin"),
        package=table.optional_text("package"),
    )
    table.close()
    if file.name.startswith("/") or ".." in file.name.split("/"):
        raise table.wrong("name", "must be a name, or folder and name, within the models' folder")
    if file.sha256 and not _SHA256.fullmatch(file.sha256):
        raise table.wrong("sha256", "must be 64 hexadecimal digits, or empty for your own file")
    if file.repository and not (file.commit and file.path and file.sha256 and file.bytes):
        raise table.wrong("repository", "needs commit, path, sha256 and bytes")
    return file


def _input(table: Table) -> InputSpec:
    found = InputSpec(
        width=table.integer("width", 0),
        height=table.integer("height", 0),
        multiple=table.integer("multiple", 1, default=1),
        colour=table.choice("colour", ("BGR", "RGB")),
        mean=cast("Triple", table.numbers("mean", (0.0, 0.0, 0.0))),
        scale=cast("Triple", table.numbers("scale", (1.0, 1.0, 1.0))),
        layout=table.choice("layout", ("NCHW", "NHWC"), default="NCHW"),
        batch=table.integer("batch", 0, default=0),
        crop=table.number("crop", 1.0),
    )
    table.close()
    if 0 in found.scale:
        raise table.wrong("scale", "must not be 0")
    return found


def _accuracy(table: Table) -> Accuracy:
    found = Accuracy(
        origin=table.text("origin"), lfw=_share(table, "lfw"), map=_share(table, "map")
    )
    table.close()
    return found


def _share(table: Table, field: str) -> float | None:
    if not table.has(field):
        return None
    value = table.number(field, 1.0)
    if value > 1:
        raise table.wrong(field, "must be a share of 1")
    return value


def _thresholds(table: Table) -> Mapping[float, float]:
    found = {}
    for rate, cosine in table.rest().items():
        try:
            key = float(rate)
        except ValueError:
            raise table.wrong(rate, "must be a false-match rate such as 0.001") from None
        if not 0 < key < 1:
            raise table.wrong(rate, "must be a false-match rate above 0 and below 1")
        if not isinstance(cosine, int | float) or not -1 <= cosine <= 1:
            raise table.wrong(rate, "must be a cosine from -1 to 1")
        found[key] = float(cosine)
    return found


def read_pack(name: str, table: Table, models: Mapping[str, ModelSpec]) -> Pack:
    """One `[packs.<name>]` table.

    Raises:
        ConfigurationError: a field is missing or wrong, or names no model of its task.
    """
    pack = Pack(
        name=name,
        detector=_member(table, "detector", table.text("detector"), "face-detection", models),
        embedder=_member(table, "embedder", table.text("embedder"), "face-recognition", models),
        optional=tuple(
            _member(table, field, model_id, task, models)
            for field, task in OPTIONAL.items()
            for model_id in table.texts(field, ())
        ),
        automatic=table.flag("automatic", default=False),
    )
    table.close()
    return pack


def _member(
    table: Table, field: str, model_id: str, task: str, models: Mapping[str, ModelSpec]
) -> ModelSpec:
    if model_id not in models:
        raise table.wrong(field, f"there is no model {model_id}")
    if models[model_id].task != task:
        raise table.wrong(field, f"{model_id} is for {models[model_id].task}, not for {task}")
    return models[model_id]
