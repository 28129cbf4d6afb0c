"""Apicurio as one local process: the schema registry, remembering in one H2 file."""

from pathlib import Path

from local import java
from local.network import LOOPBACK, fetched
from local.process import ProcessSpec

_API = "/apis/ccompat/v7"


def registry_url(port: int) -> str:
    """Where Confluent clients reach the registry."""
    return f"http://{LOOPBACK}:{port}{_API}"


def registry(*, folder: Path, data: Path, port: int, management: int) -> ProcessSpec:
    """The registry's process.

    Args:
        folder: Its unpacked distribution.
        data: Where it keeps its schemas.
        port: Where clients connect.
        management: Its management port, which would else listen on every interface.
    """
    environment = java.environment() | {
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
        "QUARKUS_MANAGEMENT_PORT": str(management),
        "QUARKUS_LOG_LEVEL": "WARN",
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "h2",
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{data / 'schemas'}",
    }
    return ProcessSpec(
        name="registry",
        command=java.command(
            "-jar", str(folder / "quarkus-run.jar"), heap=256, temporary=data / "tmp"
        ),
        environment=environment,
        folder=folder,
        prepare=lambda: data.mkdir(parents=True, exist_ok=True),
        ready=lambda: fetched(port, f"{_API}/subjects") is not None,
        ready_within=240.0,
    )
