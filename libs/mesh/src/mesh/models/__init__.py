"""Model files: a registry of what they are, and a store that finds, fetches and verifies them."""

from mesh.models.choice import choose_pack
from mesh.models.download import ORIGIN, Progress
from mesh.models.mirroring import mirror
from mesh.models.opening import open_registry, open_store
from mesh.models.registry import ModelRegistry
from mesh.models.spec import TASKS, Accuracy, InputSpec, ModelFile, ModelSpec, Pack
from mesh.models.store import AlteredFileError, MissingFileError, ModelStore, package_folder

__all__ = [
    "ORIGIN",
    "TASKS",
    "Accuracy",
    "AlteredFileError",
    "InputSpec",
    "MissingFileError",
    "ModelFile",
    "ModelRegistry",
    "ModelSpec",
    "ModelStore",
    "Pack",
    "Progress",
    "choose_pack",
    "mirror",
    "open_registry",
    "open_store",
    "package_folder",
]
