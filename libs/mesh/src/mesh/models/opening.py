"""Registry and store as the settings of a process name them."""

from mesh.models.registry import ModelRegistry
from mesh.models.store import ModelStore
from mesh.settings import ModelSettings


def open_registry(settings: ModelSettings) -> ModelRegistry:
    """The registry, with the user's own file laid over it where one is set.

    Raises:
        ConfigurationError: that file is wrong; the message names file, table and field.
    """
    return ModelRegistry.load(settings.model_registry)


def open_store(settings: ModelSettings) -> ModelStore:
    """The store of this process, with the licences that the user accepted."""
    return ModelStore(
        folder=settings.models_dir,
        cache=settings.models_cache,
        accepted=settings.accepted_licences,
    )
