"""Where the embedded platform keeps its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders under one state folder; everything the platform writes is in them.

    Args:
        root: The state folder.
        cache: What was downloaded; shared by platforms and kept by `clean`.
    """

    root: Path
    cache: Path

    @classmethod
    def at(cls, root: Path) -> "Layout":
        """The layout of a state folder with its own cache."""
        root = root.expanduser().resolve()
        return cls(root=root, cache=root / "cache")

    @property
    def log(self) -> Path:
        """One log file per process."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Locks, process ids and the state that `status` shows."""
        return self.root / "run"

    @property
    def data(self) -> Path:
        """What broker, registry, database and services remember."""
        return self.root / "data"

    @property
    def objects(self) -> Path:
        """The object folder that stands in for S3."""
        return self.data / "objects"

    @property
    def keys(self) -> Path:
        """The generated keys of this platform."""
        return self.root / "secrets.env"

    @property
    def demo(self) -> Path:
        """Address and token of the running demo."""
        return self.root / "demo.json"

    def create(self) -> None:
        """Creates the folders that every run needs."""
        for folder in (self.cache, self.log, self.run, self.data, self.objects):
            folder.mkdir(parents=True, exist_ok=True)


def repository_root() -> Path:
    """The checkout that this member belongs to."""
    return Path(__file__).resolve().parents[3]


def state_root(environ: Mapping[str, str]) -> Path:
    """The state folder: SIGHTLINE_VAR, else `var` in the checkout."""
    named = environ.get("SIGHTLINE_VAR", "")
    return Path(named) if named else repository_root() / "var"
