"""Apicurio as one local process: the schema registry, remembering in one H2 file."""

from pathlib import Path

import httpx

from local import java
from local.network import LOOPBACK
from local.process import ProcessSpec


def registry_url(port: int) -> str:
    """Where Confluent clients reach the registry."""
    return f"http://{LOOPBACK}:{port}/apis/ccompat/v7"


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
        ready=lambda: _is_ready(port),
        ready_within=240.0,
    )


def _is_ready(port: int) -> bool:
    address = f"{registry_url(port)}/subjects"
    try:
        # Reading certificates would cost 60 ms of CPU at every call.
        answer = httpx.get(address, timeout=3, trust_env=False, verify=False)  # noqa: S501 -- no TLS
    except httpx.HTTPError:
        return False
    return answer.is_success
