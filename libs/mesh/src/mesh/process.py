"""The frame of every service's `main`: logs, signals, health, and an exit code that tells."""

import atexit
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

from mesh.errors import ConfigurationError
from mesh.freed_memory import returning_freed_memory
from mesh.health import Health, HealthServer
from mesh.logs import configure_logs, get_logger
from mesh.metrics import StageMetrics
from mesh.settings import MeshSettings, load

S = TypeVar("S", bound=MeshSettings)
EX_CONFIG = 78
"""sysexits.h: the process cannot start as configured."""
_EXIT_SECONDS = 15
"""For the interpreter to end, after the service has."""


@dataclass(slots=True)
class Process:
    """What a service's parts share: when to stop, how they are, what they measure."""

    name: str
    stop: threading.Event = field(default_factory=threading.Event)
    health: Health = field(default_factory=Health)
    metrics: StageMetrics = field(default_factory=StageMetrics)


def run_service(name: str, settings_class: type[S], body: Callable[[S, Process], None]) -> None:
    """Build the settings, serve health, and run the body until it returns or raises.

    SIGTERM and SIGINT set `process.stop`; the body finishes what it has in hand and returns.
    Exits with 78 if the process cannot start as configured and with 1 after any other failure.
    """
    process = Process(name)
    atexit.register(_end_within, _EXIT_SECONDS)
    try:
        settings = load(settings_class)
        configure_logs(name, settings)
        _stop_on_signals(process.stop)
        returning_freed_memory(process.stop)
        server = HealthServer(
            process.health,
            process.metrics.registry,
            host=settings.health_host,
            port=settings.health_port,
        )
        with server:
            get_logger(name).info("service_started", health_port=server.port)
            body(settings, process)
        get_logger(name).info("service_stopped")
    except ConfigurationError as error:
        get_logger(name).error("configuration_refused", message=str(error))
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 -- also where no log is read
        sys.exit(EX_CONFIG)
    except Exception:  # noqa: BLE001 -- the one place: log, and exit non-zero
        get_logger(name).exception("service_crashed")
        sys.exit(1)


def _end_within(seconds: int) -> None:
    """A client library that hangs while the interpreter ends must not keep the process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(_: int, __: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
