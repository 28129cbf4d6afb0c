"""Downloads that resume, report their size and are verified."""

import hashlib
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2

from mesh.errors import ConfigurationError, TransientError

Report = Callable[[str], None]
"""Takes one line for the person who waits."""

_ATTEMPTS = 4


def megabytes(size: int) -> str:
    """A size in bytes as a person reads it."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def client(environ: Mapping[str, str] = os.environ) -> httpx2.Client:
    """A client that obeys the environment's proxies and certificates."""
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE")
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=bundle) if bundle else True
    return httpx2.Client(
        verify=verify, follow_redirects=True, timeout=httpx2.Timeout(60, connect=20)
    )


def fetch(
    http: httpx2.Client, url: str, target: Path, *, sha256: str, size: int, report: Report
) -> Path:
    """Brings a file here unless it is already; an interrupted download goes on where it stopped.

    Args:
        http: The client.
        url: Where the file is.
        target: Where it goes; written only once it is whole and verified.
        sha256: Its digest, in hexadecimal.
        size: Its length in bytes.
        report: Takes progress lines.

    Raises:
        TransientError: The download failed several times; a later call resumes it.
        ConfigurationError: What came has another digest than the one expected.
    """
    if target.exists() and target.stat().st_size == size:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _fill(http, url, part, size=size, report=report)
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise ConfigurationError(f"{url}: sha256 {found}, expected {sha256}")
    part.replace(target)
    return target


def _fill(http: httpx2.Client, url: str, part: Path, *, size: int, report: Report) -> None:
    failure = ""
    for _ in range(_ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            part.unlink()
            have = 0
        if have == size:
            return
        try:
            _append(http, url, part, have=have, size=size, report=report)
        except httpx2.HTTPError as error:
            failure = f"{type(error).__name__}: {error}"
    if not part.exists() or part.stat().st_size != size:
        raise TransientError(f"{url}: download failed ({failure}); run again to resume")


def _append(
    http: httpx2.Client, url: str, part: Path, *, have: int, size: int, report: Report
) -> None:
    # Compressed on the way, a part's length would say nothing about the file's.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with http.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx2.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        if resumed:
            report(f"  resuming {part.stem} at {megabytes(have)} of {megabytes(size)}")
        step = max(size // 5, 10_000_000)
        shown = done
        with part.open("ab" if resumed else "wb") as stream:
            for chunk in response.iter_raw():
                stream.write(chunk)
                done += len(chunk)
                if done - shown >= step:
                    shown = done
                    report(f"  {part.stem}: {megabytes(done)} of {megabytes(size)}")
