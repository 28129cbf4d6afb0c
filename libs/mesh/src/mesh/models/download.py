"""Downloads of pinned files: resumed where a try was cut off, verified before they count."""

from collections.abc import Callable
from pathlib import Path

import httpx2

from mesh.errors import ConfigurationError
from mesh.models.fingerprints import sha256_of
from mesh.models.spec import ModelFile, ModelSpec

ORIGIN = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"
"""Where a pinned file of a public repository is read from; a mirror keeps the same fields."""

Progress = Callable[[str], None]

_BLOCK = 1 << 20
_STEP = 0.25
_QUIET_BELOW = 8 * _BLOCK


def download(
    model: ModelSpec, file: ModelFile, *, origin: str, cache: Path, progress: Progress
) -> Path:
    """Bring one file into the cache.

    Args:
        model: whose file it is.
        file: what to bring; it has a repository.
        origin: template of addresses, for files that bring none of their own.
        cache: folder that it lies in afterwards; a part stays there when a try is cut off.
        progress: told what comes, and how far a large one is.

    Returns:
        Where it lies.

    Raises:
        ConfigurationError: it cannot be had, or is not the one that was pinned.
    """
    if file.repository is None:
        raise ConfigurationError(f"model {model.model_id}: {_why_not(file)}")
    fields = {"repository": file.repository, "commit": file.commit, "path": file.path}
    url = (file.origin or origin).format(**fields)
    part, place = cache / f"{file.sha256}.part", cache / file.name
    progress(f"{file.name}: {file.bytes / 1e6:.1f} MB, {model.licence}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _resume(url, part, file, progress)
    except (httpx2.HTTPError, OSError) as error:
        raise ConfigurationError(f"model {model.model_id}: {file.name}: {error}") from error
    digest = sha256_of(part)
    if digest != file.sha256:
        part.unlink()
        raise ConfigurationError(
            f"model {model.model_id}: {file.name} from {url} has sha256 {digest}, not {file.sha256}"
        )
    part.rename(place)
    return place


def _why_not(file: ModelFile) -> str:
    if file.package:
        return f"{file.name} ships in the package {file.package}, which is not installed"
    return f"{file.name} is yours to supply: put it into the folder of SIGHTLINE_MODELS_DIR"


def _resume(url: str, part: Path, file: ModelFile, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= file.bytes:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx2.stream("GET", url, headers=headers, timeout=20, follow_redirects=True) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx2.codes.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as out:
            told = out.tell() / file.bytes
            for block in response.iter_bytes(_BLOCK):
                out.write(block)
                if out.tell() > file.bytes:
                    raise OSError(f"longer than the {file.bytes} bytes that were pinned")
                share = out.tell() / file.bytes
                if file.bytes > _QUIET_BELOW and share >= told + _STEP:
                    progress(f"{file.name}: {share:.0%}")
                    told = share
