"""S3Proxy as one local process: a real S3 server over a folder, for tests."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from local import java
from local.network import LOOPBACK, asked
from local.process import ProcessSpec

BUCKET = "sightline"
_KEYS = MappingProxyType({"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret"})


def s3_environment(port: int) -> Mapping[str, str]:
    """What a client of the server has to be told."""
    return {
        **_KEYS,
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def buckets(data: Path) -> Path:
    """Where the server keeps its buckets, a folder each."""
    return data / "buckets"


def object_server(*, jar: Path, data: Path, port: int) -> ProcessSpec:
    """The server's process; the bucket is a folder, so it is there from the beginning.

    Args:
        jar: S3Proxy with all that it needs.
        data: Where it keeps its settings and objects.
        port: Where clients connect.
    """
    config = data / "s3proxy.conf"
    settings = {
        "s3proxy.endpoint": f"http://{LOOPBACK}:{port}",
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": _KEYS["AWS_ACCESS_KEY_ID"],
        "s3proxy.credential": _KEYS["AWS_SECRET_ACCESS_KEY"],
        "jclouds.provider": "filesystem-nio2",
        "jclouds.filesystem.basedir": str(buckets(data)),
    }

    def prepare() -> None:
        (buckets(data) / BUCKET).mkdir(parents=True, exist_ok=True)
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    return ProcessSpec(
        name="s3",
        command=java.command(
            "-jar", str(jar), "--properties", str(config), heap=256, temporary=data / "tmp"
        ),
        environment=java.environment(),
        prepare=prepare,
        ready=lambda: asked(port, "/") is not None,
        ready_within=240.0,
    )
