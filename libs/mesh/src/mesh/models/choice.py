"""Which pack to use where none is named."""

from mesh.errors import ConfigurationError
from mesh.models.download import Progress
from mesh.models.registry import ModelRegistry
from mesh.models.spec import Pack
from mesh.models.store import ModelStore


def choose_pack(registry: ModelRegistry, store: ModelStore, progress: Progress) -> Pack:
    """The first automatic pack whose files are at hand or can be had, in the registry's order.

    Raises:
        ConfigurationError: no pack can be had; the message says why for each.
    """
    problems = []
    for pack in registry.packs.values():
        if not pack.automatic:
            continue
        try:
            for model in pack.models:
                store.fetch(model, progress)
                store.locate(model)
        except ConfigurationError as error:
            problems.append(f"{pack.name}: {error}")
            progress(f"pack {pack.name} cannot be had: {error}")
        else:
            return pack
    raise ConfigurationError("no model pack can be had: " + "; ".join(problems))
