"""The models of the registry file, as far as clients need to know them."""

from pathlib import Path

from mesh.models import ModelRegistry
from results.domain.models import KnownModel


def known_models(own: Path | None = None) -> tuple[KnownModel, ...]:
    """Every model that the registry has an entry for; no model file is looked at.

    Args:
        own: Registry file of the user, laid over the one of this version.

    Raises:
        ConfigurationError: That file cannot be read, or something in it is wrong.
    """
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
            accuracy_lfw=spec.accuracy.lfw if spec.accuracy else None,
            accuracy_map=spec.accuracy.map if spec.accuracy else None,
            accuracy_origin=spec.accuracy.origin if spec.accuracy else None,
            min_face_size=spec.min_face_size,
            accept=spec.accept,
        )
        for spec in ModelRegistry.load(own).models.values()
    )
