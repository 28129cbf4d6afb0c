"""The services of the mesh as processes."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from local.layout import Layout
from local.network import LOOPBACK, fetched, free_ports
from local.process import BEHIND, ProcessSpec

INFRASTRUCTURE = ("kafka", "registry", "postgres")


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of service process.

    Args:
        name: Its name; further instances are called name-2, name-3, …
        module: What `python -m` runs, with its arguments.
        scales: Whether several instances may run.
        niceness: How far it stands back where processors are short.
    """

    name: str
    module: tuple[str, ...]
    scales: bool = True
    niceness: int = 0


SERVICES = (
    Service("recognition", ("recognition",)),
    Service("detection", ("detection",)),
    Service("aggregator", ("aggregator",)),
    Service("writer", ("results", "writer"), niceness=BEHIND),
    Service("keeper", ("results", "keeper"), scales=False, niceness=BEHIND),
    Service("gateway", ("results", "gateway"), scales=False),
    Service("camera", ("camera",)),
)
"""In the order of starting: who captures comes last, when the others can take it."""

SERVICE_NAMES = tuple(service.name for service in SERVICES)


def processes(
    *,
    layout: Layout,
    instances: Mapping[str, int],
    gateway_port: int,
    shared: Mapping[str, str],
    own: Mapping[str, Mapping[str, str]],
    after: tuple[str, ...] = INFRASTRUCTURE,
) -> list[ProcessSpec]:
    """The processes of all services.

    Args:
        layout: Where they keep their state.
        instances: How many of each service; one where it is not named, none at 0.
        gateway_port: Where the gateway listens.
        shared: The environment of all.
        own: What a service has beyond that, by its name.
        after: What must be ready before them.
    """
    counted = [
        (service, number)
        for service in SERVICES
        for number in range(1, instances.get(service.name, 1) + 1)
    ]
    ports = free_ports(len(counted))
    return [
        _process(
            service,
            number=number,
            layout=layout,
            health=health,
            environment=dict(shared)
            | {"SIGHTLINE_GATEWAY_PORT": str(gateway_port)}
            | dict(own.get(service.name, {})),
            after=after,
        )
        for (service, number), health in zip(counted, ports, strict=True)
    ]


def _process(
    service: Service,
    *,
    number: int,
    layout: Layout,
    health: int,
    environment: Mapping[str, str],
    after: tuple[str, ...],
) -> ProcessSpec:
    name = service.name if number == 1 else f"{service.name}-{number}"
    folder = layout.data / "services" / name
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", *service.module),
        environment=dict(environment)
        | {
            "SIGHTLINE_INSTANCE_ID": name,
            "SIGHTLINE_HEALTH_HOST": LOOPBACK,
            "SIGHTLINE_HEALTH_PORT": str(health),
            "SIGHTLINE_DATA_DIR": str(folder),
            # Several processes share the cores; libraries that take all of them slow each other.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        },
        folder=folder,
        after=after,
        prepare=lambda: folder.mkdir(parents=True, exist_ok=True),
        ready=lambda: is_ready(health),
        niceness=service.niceness,
        ready_within=300.0,
        stop_within=25.0,
    )


def is_ready(health: int) -> bool:
    """Whether a service says on its health port that it does its work.

    One that has nothing to check yet is still putting itself together.
    """
    told = fetched(health, "/ready")
    return told is not None and bool(json.loads(told)["checks"])
