"""The models of the registry file, as far as clients need to know them."""

from mesh.models import ModelRegistry
from results.domain.models import KnownModel


def known_models(registry: ModelRegistry | None = None) -> tuple[KnownModel, ...]:
    """Every model that this version ships a registry entry for; no file is looked at."""
    registry = registry or ModelRegistry.load()
    return tuple(
        KnownModel(
            model_id=spec.model_id,
            task=spec.task,
            name=spec.name,
            version=spec.version,
            licence=spec.licence,
            commercial=spec.commercial,
            files=tuple((file.name, file.sha256) for file in spec.files),
            embedding_size=spec.embedding_size,
            aliases=spec.aliases,
            accept=spec.accept,
        )
        for spec in registry.models.values()
    )
