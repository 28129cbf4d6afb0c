"""Model files: a registry of what they are, and a store that finds, fetches and verifies them."""

import hashlib
import importlib.util
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self

import httpx

from mesh.errors import ConfigurationError

ORIGIN = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"
"""Where a pinned file of a public repository is read from; a mirror keeps the same fields."""
_BLOCK = 1 << 20

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model; its SHA-256 is its identity."""

    name: str
    bytes: int
    """Size, bytes."""
    sha256: str
    repository: str | None = None
    """Public repository that it is pinned in, with commit and path."""
    commit: str | None = None
    path: str | None = None
    package: str | None = None
    """Python package that ships it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is known of a model before it is loaded."""

    model_id: str
    task: str
    """face-detection or face-recognition."""
    name: str
    version: str
    engine: str
    licence: str
    commercial: bool
    """Whether the licence allows commercial use."""
    files: tuple[ModelFile, ...]
    embedding_size: int | None = None
    aliases: tuple[str, ...] = ()
    """Names of the specification that mean this model."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that are used together."""

    name: str
    detector: ModelSpec
    embedder: ModelSpec

    @property
    def models(self) -> tuple[ModelSpec, ModelSpec]:
        """Both models."""
        return self.detector, self.embedder


class ModelRegistry:
    """The models and packs of `models.toml`."""

    def __init__(self, models: Mapping[str, ModelSpec], packs: Mapping[str, Pack]) -> None:
        self.models = models
        self.packs = packs

    @classmethod
    def load(cls) -> Self:
        """Read the registry file that this version of the code ships."""
        raw = tomllib.loads((resources.files("mesh") / "models.toml").read_text(encoding="utf-8"))
        models = {key: _spec(key, value) for key, value in raw["models"].items()}
        packs = {
            key: Pack(key, models[value["detector"]], models[value["embedder"]])
            for key, value in raw["packs"].items()
        }
        return cls(models, packs)

    def pack(self, name: str) -> Pack:
        """The pack of this name.

        Raises:
            ConfigurationError: there is none; the message lists the names.
        """
        try:
            return self.packs[name]
        except KeyError:
            known = ", ".join(self.packs)
            raise ConfigurationError(f"SIGHTLINE_MODEL_PACK: {name} is none of {known}") from None


def _spec(model_id: str, raw: dict[str, Any]) -> ModelSpec:
    lists = {
        "files": tuple(ModelFile(**item) for item in raw["files"]),
        "aliases": tuple(raw.get("aliases", ())),
    }
    return ModelSpec(model_id=model_id, **{**raw, **lists})


class ModelStore:
    """Finds a model's files in the given folder, in the cache, or in an installed package."""

    def __init__(self, *, folder: Path | None, cache: Path, origin: str = ORIGIN) -> None:
        self._folder = folder
        self._cache = cache
        self._origin = origin

    def locate(self, model: ModelSpec) -> dict[str, Path]:
        """The verified files of a model by name.

        Raises:
            ConfigurationError: a file is missing or altered; the message names it.
        """
        return {file.name: self._locate(model, file) for file in model.files}

    def has(self, model: ModelSpec) -> bool:
        """Whether every file of the model is at hand and unaltered."""
        with suppress(ConfigurationError):
            return bool(self.locate(model))
        return False

    def fetch(self, model: ModelSpec, progress: Progress) -> None:
        """Download what is missing into the cache, resuming where a try was cut off.

        Raises:
            ConfigurationError: a file cannot be had, or is not the one that was pinned.
        """
        for file in model.files:
            if self._find(file) is None:
                self._download(model, file, progress)

    def _locate(self, model: ModelSpec, file: ModelFile) -> Path:
        found = self._find(file)
        if found is not None:
            return found
        namesakes = [place for place in self._places(file) if place.name == file.name]
        if namesakes:
            raise ConfigurationError(
                f"model {model.model_id}: {namesakes[0]} is altered: its sha256 is "
                f"{_sha256(namesakes[0])}, not {file.sha256}"
            )
        raise ConfigurationError(
            f"model {model.model_id}: {file.name} ({file.bytes / 1e6:.1f} MB, sha256 "
            f"{file.sha256[:12]}…) is missing; SIGHTLINE_MODELS_DIR names a folder that has it"
        )

    def _find(self, file: ModelFile) -> Path | None:
        for place in self._places(file):
            if place.stat().st_size == file.bytes and _sha256(place) == file.sha256:
                return place
        return None

    def _places(self, file: ModelFile) -> Iterator[Path]:
        """Files that could be this one: any of its size or of its name."""
        for folder in self._folders:
            for place in self._files(folder):
                if place.name == file.name or place.stat().st_size == file.bytes:
                    yield place
        if file.package and (package := package_folder(file.package)):
            yield from (shipped for shipped in package.rglob(file.name) if shipped.is_file())

    @property
    def _folders(self) -> Sequence[Path]:
        return [folder for folder in (self._folder, self._cache) if folder and folder.is_dir()]

    def _files(self, folder: Path) -> list[Path]:
        return [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def _download(self, model: ModelSpec, file: ModelFile, progress: Progress) -> None:
        if file.repository is None:
            raise ConfigurationError(
                f"model {model.model_id}: {file.name} ships in the package {file.package}, "
                f"which is not installed"
            )
        url = self._origin.format(repository=file.repository, commit=file.commit, path=file.path)
        self._cache.mkdir(parents=True, exist_ok=True)
        part = self._cache / f"{file.sha256}.part"
        progress(f"{file.name}: {file.bytes / 1e6:.1f} MB, {model.licence}")
        try:
            _resume(url, part, limit=file.bytes)
        except (httpx.HTTPError, OSError) as error:
            raise ConfigurationError(f"model {model.model_id}: {file.name}: {error}") from error
        digest = _sha256(part)
        if digest != file.sha256:
            part.unlink()
            raise ConfigurationError(
                f"model {model.model_id}: {file.name} from {url} has sha256 {digest}, "
                f"not {file.sha256}"
            )
        part.rename(self._cache / file.name)


def _resume(url: str, part: Path, *, limit: int) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= limit:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, timeout=20, follow_redirects=True) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as out:
            for block in response.iter_bytes(_BLOCK):
                out.write(block)
                if out.tell() > limit:
                    raise OSError(f"longer than the {limit} bytes that were pinned")


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def choose_pack(registry: ModelRegistry, store: ModelStore, progress: Progress) -> Pack:
    """The first pack whose files are at hand or can be fetched, in the registry's order.

    Raises:
        ConfigurationError: no pack can be had; the message says why for each.
    """
    problems = []
    for pack in registry.packs.values():
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


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
