"""Where model files lie: found by their hash, fetched, pinned, and watched while in use."""

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mesh.errors import ConfigurationError
from mesh.models.download import ORIGIN, Progress, download
from mesh.models.fingerprints import Fingerprints
from mesh.models.pins import Pins
from mesh.models.spec import ModelFile, ModelSpec, Pack


class MissingFileError(ConfigurationError):
    """A model's file lies nowhere that was looked at."""


class AlteredFileError(ConfigurationError):
    """A model's file is not the one that was pinned."""


class ModelStore:
    """Finds a model's files in the given folder, in the cache, or in an installed package."""

    def __init__(
        self,
        *,
        folder: Path | None,
        cache: Path,
        origin: str = ORIGIN,
        accepted: Collection[str] = (),
    ) -> None:
        """Take the places; nothing is read before it is asked for.

        Args:
            folder: with model files of the user's own, in any depth.
            cache: for downloaded files and for the pins of the user's files.
            origin: template of addresses.
            accepted: names of licences that the user accepted.
        """
        self._folder = folder
        self._cache = cache
        self._origin = origin
        self._accepted = frozenset(accepted)
        self._pins = Pins(cache)
        self._fingerprints = Fingerprints()
        self._in_use: dict[str, dict[Path, str]] = {}

    def locate(self, model: ModelSpec) -> dict[str, Path]:
        """The verified files of a model by name; those of the user are pinned at the first use.

        Raises:
            ConfigurationError: a file is missing or altered, or the licence was not accepted;
                the message names it.
        """
        self._check_licence(model)
        found = {file.name: self._locate(model, file) for file in model.files}
        hashes = {
            found[file.name]: file.sha256 or self._pin(model, file, found[file.name])
            for file in model.files
        }
        self._in_use[model.model_id] = hashes
        return found

    def files(self, model: ModelSpec) -> dict[str, Path]:
        """The verified files of a model by name, whatever its licence; nothing is pinned.

        Raises:
            ConfigurationError: a file is missing or altered; the message names it.
        """
        return {file.name: self._locate(model, file) for file in model.files}

    def has(self, model: ModelSpec) -> bool:
        """Whether the model can be used: every file at hand, its licence accepted.

        Raises:
            ConfigurationError: a file is altered; the message names it.
        """
        if model.accept and model.accept not in self._accepted:
            return False
        try:
            return bool(self.files(model))
        except MissingFileError:
            return False

    def optional(self, pack: Pack) -> tuple[ModelSpec, ...]:
        """The further models of a pack that can be used.

        Raises:
            ConfigurationError: a file of one is altered; the message names it.
        """
        return tuple(model for model in pack.optional if self.has(model))

    def pinned(self, model: ModelSpec) -> ModelSpec:
        """The model with size and hash of each file as they are here, those of the user too.

        Raises:
            ConfigurationError: as `locate`.
        """
        found = self.locate(model)
        files = tuple(
            replace(
                file,
                bytes=found[file.name].stat().st_size,
                sha256=self._fingerprints.of(found[file.name]),
            )
            for file in model.files
        )
        return replace(model, files=files)

    def sha256(self, place: Path) -> str:
        """The SHA-256 of a located file, 64 hexadecimal digits."""
        return self._fingerprints.of(place)

    def drift(self, model: ModelSpec | str) -> str | None:
        """What became of a located model's files since, or none while they are as they were.

        Costs a stat per file; a file is hashed again only when its stat changed.

        Args:
            model: or its identifier.
        """
        model_id = model if isinstance(model, str) else model.model_id
        for path, sha256 in self._in_use.get(model_id, {}).items():
            try:
                found = self._fingerprints.of(path)
            except OSError as error:
                return f"{path} cannot be read any more: {error.strerror}"
            if found != sha256:
                return f"{path} is altered: its sha256 is {found}, not {sha256}"
        return None

    def fetch(self, model: ModelSpec, progress: Progress) -> None:
        """Download what is missing into the cache, resuming where a try was cut off.

        Raises:
            ConfigurationError: a file cannot be had, or is not the one that was pinned, or the
                licence was not accepted.
        """
        self._check_licence(model)
        for file in model.files:
            if self._find(model, file) is None:
                download(model, file, origin=self._origin, cache=self._cache, progress=progress)

    def _check_licence(self, model: ModelSpec) -> None:
        if model.accept and model.accept not in self._accepted:
            raise ConfigurationError(
                f"model {model.model_id} is under {model.licence}: if you may use it, add "
                f"{model.accept} to SIGHTLINE_ACCEPT_LICENCES"
            )

    def _locate(self, model: ModelSpec, file: ModelFile) -> Path:
        found = self._find(model, file)
        if found is not None:
            return found
        namesakes = [place for place in self._places(file) if _is_named(place, file.name)]
        if namesakes:
            raise AlteredFileError(
                f"model {model.model_id}: {namesakes[0]} is altered: its sha256 is "
                f"{self._fingerprints.of(namesakes[0])}, not {self._expected(model, file)}"
            )
        known = f" ({file.bytes / 1e6:.1f} MB, sha256 {file.sha256[:12]}…)" if file.bytes else ""
        raise MissingFileError(
            f"model {model.model_id}: {file.name}{known} is missing; "
            f"SIGHTLINE_MODELS_DIR names a folder that has it"
        )

    def _find(self, model: ModelSpec, file: ModelFile) -> Path | None:
        expected = self._expected(model, file)
        if expected:
            for place in self._places(file):
                same_size = not file.bytes or place.stat().st_size == file.bytes
                if same_size and self._fingerprints.of(place) == expected:
                    return place
            return None
        places = list(self._places(file))
        if len({self._fingerprints.of(place) for place in places}) > 1:
            raise AlteredFileError(
                f"model {model.model_id}: {file.name} is there more than once with different "
                f"contents: {', '.join(map(str, places))}"
            )
        return places[0] if places else None

    def _expected(self, model: ModelSpec, file: ModelFile) -> str:
        """The hash that a file must have; empty before the first use of a user's own."""
        return file.sha256 or self._pins.get(_key(model, file)) or ""

    def _pin(self, model: ModelSpec, file: ModelFile, place: Path) -> str:
        found = self._fingerprints.of(place)
        pinned = self._pins.pin(_key(model, file), found)
        if pinned != found:
            raise AlteredFileError(
                f"model {model.model_id}: {place} is altered: its sha256 is {found}, not {pinned}"
            )
        return pinned

    def _places(self, file: ModelFile) -> Iterator[Path]:
        """Files that could be this one: any of its size or of its name."""
        for folder in self._folders:
            for place in _files(folder):
                same_size = file.bytes and place.stat().st_size == file.bytes
                if same_size or _is_named(place, file.name):
                    yield place
        if file.package and (package := package_folder(file.package)):
            yield from (shipped for shipped in package.rglob(file.name) if shipped.is_file())

    @property
    def _folders(self) -> Sequence[Path]:
        return [folder for folder in (self._folder, self._cache) if folder and folder.is_dir()]


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _is_named(place: Path, name: str) -> bool:
    """Whether a path ends with this name, or with this folder and name."""
    parts = Path(name).parts
    return place.parts[-len(parts) :] == parts


def _key(model: ModelSpec, file: ModelFile) -> str:
    return f"{model.model_id}/{file.name}"
