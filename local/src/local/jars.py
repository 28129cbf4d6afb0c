"""The jars of broker, registry and object server: resolved once by jgo, then pinned by a lock."""

import fcntl
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import httpx2
from jgo.constants import MAVEN_CENTRAL_URL

from local.download import Report, client, fetch, megabytes, sha256_of
from mesh.errors import ConfigurationError

BROKER = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    # Named, because the resolver otherwise picks 3.9.1 and the broker dies with NoSuchMethodError.
    "org.apache.kafka:kafka-clients:4.3.1",
    # Kafka logs through slf4j 1.7, hence not log4j-slf4j2-impl.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
OBJECTS = ("org.gaul", "s3proxy", "4.1.0", "jar-with-dependencies", "jar")
"""S3 over a folder, for tests alone: the embedded platform keeps objects in a folder itself."""
REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")


@dataclass(frozen=True, slots=True)
class Pin:
    """One file of the lock.

    Args:
        use: "broker", "registry" or "objects".
        path: Its path in a Maven repository.
        sha256: Its digest, in hexadecimal.
        size: Its length in bytes.
    """

    use: str
    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]

    def line(self) -> str:
        """This pin as a line of the lock."""
        return f"{self.use} {self.path} {self.sha256} {self.size}"


def parse_lock(text: str) -> tuple[Pin, ...]:
    """Reads a lock: a line per file with use, path, sha256 and size; `#` starts a comment.

    Raises:
        ConfigurationError: A line is not readable.
    """
    lines = [line.strip() for line in text.splitlines()]
    return tuple(_pin(line) for line in lines if line and not line.startswith("#"))


def _pin(line: str) -> Pin:
    try:
        use, path, sha256, size = line.split()
        pin = Pin(use, path, sha256, int(size))
    except ValueError as error:
        raise ConfigurationError(f"jars.lock: unreadable line {line!r}") from error
    if len(sha256) != 64 or ".." in path:
        raise ConfigurationError(f"jars.lock: no sha256 or a bad path in {line!r}")
    return pin


def committed_lock() -> tuple[Pin, ...]:
    """The lock that belongs to this version."""
    return parse_lock(files("local").joinpath("jars.lock").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Jars:
    """What the Java processes run from.

    Args:
        broker: The broker's class path, one entry per jar.
        registry: The registry's unpacked folder with `quarkus-run.jar`.
    """

    broker: tuple[Path, ...]
    registry: Path


def provide(
    cache: Path,
    *,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    pins: Sequence[Pin] | None = None,
) -> Jars:
    """Downloads what is missing in the cache, verifies it and unpacks the registry.

    Args:
        cache: The folder for downloads.
        report: Takes progress lines.
        environ: Proxies, certificates and SIGHTLINE_MAVEN_URL.
        pins: What to provide instead of the committed lock.

    Raises:
        TransientError: A download failed; the next call resumes it.
        ConfigurationError: A file differs from the lock.
    """
    pins = committed_lock() if pins is None else pins
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / ".jars.lock"):
        unpacked = _registry_folder(cache, pins)
        wanted = [
            pin
            for pin in pins
            if pin.use == "broker" or (pin.use == "registry" and not _is_unpacked(unpacked, pin))
        ]
        _download(cache, wanted, report=report, environ=environ)
        for pin in wanted:
            if pin.use == "registry":
                _unpack(cache / "maven" / pin.path, unpacked, pin, report=report)
    jars = tuple(cache / "maven" / pin.path for pin in pins if pin.use == "broker")
    return Jars(broker=jars, registry=unpacked)


def provide_object_server(
    cache: Path, *, report: Report, environ: Mapping[str, str] = os.environ
) -> Path:
    """Downloads the object server's jar, unless it is there, and verifies it.

    Raises:
        TransientError: The download failed; the next call resumes it.
        ConfigurationError: The file differs from the lock.
    """
    pin = next(pin for pin in committed_lock() if pin.use == "objects")
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / ".jars.lock"):
        _download(cache, [pin], report=report, environ=environ)
    return cache / "maven" / pin.path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _download(
    cache: Path, pins: Sequence[Pin], *, report: Report, environ: Mapping[str, str]
) -> None:
    missing = [pin for pin in pins if not _is_whole(cache / "maven" / pin.path, pin)]
    if not missing:
        return
    total = sum(pin.size for pin in missing)
    report(f"Java parts: {len(missing)} files, {megabytes(total)}")
    origin = environ.get("SIGHTLINE_MAVEN_URL", "").rstrip("/") or MAVEN_CENTRAL_URL
    with client(environ) as http:
        for number, pin in enumerate(missing, 1):
            report(f"  [{number}/{len(missing)}] {pin.name} {megabytes(pin.size)}")
            _fetch(http, origin, cache, pin, report=report)


def _fetch(http: httpx2.Client, origin: str, cache: Path, pin: Pin, *, report: Report) -> None:
    target = cache / "maven" / pin.path
    url = f"{origin}/{pin.path}"
    fetch(http, url, target, sha256=pin.sha256, size=pin.size, report=report)


def _is_whole(path: Path, pin: Pin) -> bool:
    if not path.exists():
        return False
    if path.stat().st_size == pin.size and sha256_of(path) == pin.sha256:
        return True
    path.unlink()
    return False


def _registry_folder(cache: Path, pins: Sequence[Pin]) -> Path:
    pin = next(pin for pin in pins if pin.use == "registry")
    return cache / pin.name.removesuffix(".tar.gz")


def _is_unpacked(folder: Path, pin: Pin) -> bool:
    stamp = folder / ".sha256"
    return stamp.exists() and stamp.read_text(encoding="ascii") == pin.sha256


def _unpack(archive: Path, folder: Path, pin: Pin, *, report: Report) -> None:
    report(f"  unpacking {pin.name}")
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(archive) as bundle:
        bundle.extractall(fresh, filter="data")
    (fresh / ".sha256").write_text(pin.sha256, encoding="ascii")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    archive.unlink()


def resolve(cache: Path) -> tuple[Pin, ...]:
    """Resolves the artifacts anew with jgo's own resolver: how the lock is made.

    Args:
        cache: A Maven repository folder to download into.
    """
    # Only this command needs the resolver; every start would pay for its import.
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=cache, timeout=60)
    named = [context.create_dependency(coordinate) for coordinate in BROKER]
    inputs, transitive = context.resolver.resolve(named)
    group, artifact, version, classifier, packaging = REGISTRY
    registry = context.project(group, artifact).at_version(version)
    found = [("broker", each.artifact.resolve()) for each in (*inputs, *transitive)]
    found.append(("registry", registry.artifact(classifier, packaging).resolve()))
    group, artifact, version, classifier, packaging = OBJECTS
    server = context.project(group, artifact).at_version(version)
    found.append(("objects", server.artifact(classifier, packaging).resolve()))
    pins = (
        Pin(use, str(path.relative_to(cache)), sha256_of(path), path.stat().st_size)
        for use, path in found
    )
    return tuple(sorted(pins, key=lambda pin: (pin.use, pin.path)))
