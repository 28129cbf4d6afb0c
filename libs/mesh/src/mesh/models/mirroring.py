"""Copies of model files for machines that reach nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from mesh.errors import ConfigurationError
from mesh.models.fingerprints import sha256_of
from mesh.models.spec import ModelSpec
from mesh.models.store import ModelStore


def mirror(store: ModelStore, model: ModelSpec, folder: Path) -> Iterator[Path]:
    """Copy a model's verified files to `<folder>/<model id>/<file>`; tells each when it is there.

    The folder can be what SIGHTLINE_MODELS_DIR names on another machine. A file that is there
    already is left alone; a copy that was cut off leaves none.

    Raises:
        ConfigurationError: a file is missing or altered, or cannot be written; it is named.
    """
    for name, source in store.locate(model).items():
        target = folder / model.model_id / name
        try:
            _copy(source, target)
        except OSError as error:
            raise ConfigurationError(f"model {model.model_id}: {target}: {error}") from error
        yield target


def _copy(source: Path, target: Path) -> None:
    wanted = sha256_of(source)
    if target.is_file() and sha256_of(target) == wanted:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    if sha256_of(part) != wanted:
        part.unlink()
        raise OSError("the copy is not what was copied")
    part.replace(target)
