"""docs/models.md says what the registry file says."""

from pathlib import Path

from mesh.models import ModelRegistry, ModelSpec, Pack

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
HEAD = (
    "| model | task | licence | commercial | accept | files | MB |\n|---|---|---|---|---|---|---|"
)
PACKS = "| pack | detector | embedder | automatic |\n|---|---|---|---|"


def model_row(model: ModelSpec) -> str:
    files = ", ".join(f"`{file.name}`" for file in model.files)
    accept = f"`{model.accept}`" if model.accept else "-"
    commercial = "yes" if model.commercial else "no"
    size = f"{model.bytes / 1e6:.1f}"
    cells = (f"`{model.model_id}`", model.task, model.licence, commercial, accept, files, size)
    return f"| {' | '.join(cells)} |"


def pack_row(pack: Pack) -> str:
    automatic = "yes" if pack.automatic else "no"
    models = " | ".join(f"`{model.model_id}`" for model in pack.models)
    return f"| `{pack.name}` | {models} | {automatic} |"


def test_the_page_lists_every_model_as_the_registry_has_it() -> None:
    rows = "\n".join(model_row(model) for model in ModelRegistry.load().models.values())
    assert f"{HEAD}\n{rows}\n" in PAGE.read_text(encoding="utf-8")


def test_the_page_lists_every_pack_as_the_registry_has_it() -> None:
    rows = "\n".join(pack_row(pack) for pack in ModelRegistry.load().packs.values())
    assert f"{PACKS}\n{rows}\n" in PAGE.read_text(encoding="utf-8")
