"""What benchmarks work with: pictures of real faces and models, named by the environment."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelStore
from mesh.settings import names_of

CLIP = "videos/short_hamilton_clip.mp4"
LFW = "images/lfw"
_CACHE = "var/models"
_PORTRAITS = "images/krasserm_lfw100"
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Material:
    """The folders that the environment names."""

    data: Path
    models: Path

    @property
    def clip(self) -> Path:
        """A video of 640 x 360 with real faces."""
        return self.data / CLIP

    def pictures(self) -> list[bytes]:
        """Every frame of the clip as JPEG, quality 85."""
        found = []
        with av.open(str(self.clip)) as clip:
            for frame in clip.decode(video=0):
                pixels = np.asarray(frame.to_ndarray(format="bgr24"))
                options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                found.append(bytes(cv2.imencode(".jpg", pixels, options)[1]))
        return found

    def portraits(self) -> Sequence[tuple[str, bytes]]:
        """A name and a portrait of each person to enrol."""
        folders = sorted(path for path in (self.data / _PORTRAITS).iterdir() if path.is_dir())
        return [
            (path.name, next(iter(sorted(path.glob("*.jp*g")))).read_bytes()) for path in folders
        ]


def model_registry(environ: Mapping[str, str] = os.environ) -> ModelRegistry:
    """The models and packs that the services would know with this environment.

    Raises:
        ConfigurationError: the file that SIGHTLINE_MODEL_REGISTRY names is wrong.
    """
    own = environ.get("SIGHTLINE_MODEL_REGISTRY")
    return ModelRegistry.load(Path(own).expanduser().resolve() if own else None)


def model_store(environ: Mapping[str, str] = os.environ) -> ModelStore:
    """The model files that the services would find with this environment."""
    folder = environ.get("SIGHTLINE_MODELS_DIR")
    return ModelStore(
        folder=Path(folder).expanduser().resolve() if folder else None,
        cache=Path(environ.get("SIGHTLINE_MODELS_CACHE") or _CACHE),
        accepted=names_of(environ.get("SIGHTLINE_ACCEPT_LICENCES", "")),
    )


def labelled(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder with LFW and other labelled pictures.

    Raises:
        ConfigurationError: SIGHTLINE_DATA_DIR is not set, or its folder lacks LFW.
    """
    return _folder(environ, "SIGHTLINE_DATA_DIR", "labelled pictures of faces", f"{LFW}/pairs.csv")


def material(environ: Mapping[str, str] = os.environ) -> Material:
    """The material that the environment names.

    Raises:
        ConfigurationError: A variable is missing, or its folder lacks what is needed.
    """
    found = Material(
        data=_folder(environ, "SIGHTLINE_DATA_DIR", "videos and pictures of faces", CLIP),
        models=_folder(environ, "SIGHTLINE_MODELS_DIR", "the weights of YuNet and OMZ 0095", "."),
    )
    if not (found.data / _PORTRAITS).is_dir():
        raise ConfigurationError(f"SIGHTLINE_DATA_DIR: {found.data} lacks {_PORTRAITS}")
    return found


def _folder(environ: Mapping[str, str], name: str, holds: str, part: str) -> Path:
    value = environ.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} is not set; it names the folder with {holds}")
    folder = Path(value).expanduser().resolve()
    if not (folder / part).exists():
        raise ConfigurationError(f"{name}: {folder / part} does not exist")
    return folder
