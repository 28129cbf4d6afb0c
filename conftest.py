"""Rules for every test of the repository."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

import bench  # noqa: F401 -- else pytest takes the folder of this name for the package

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_TIERS = ("integration", "e2e", "browser")
_MESH = ("kafka", "registry", "s3", "site")
"""Fixtures that start a broker or an object store, or all of it, for the whole session."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes of `pytest -n` share what waits for others, and then the unit tests.

    What needs the broker stays in one of them, and has it to itself; it takes longest. What needs
    none (cameras, databases, the demo) stays in another, with a database of its own.
    """
    for item in items:
        if not set(_MESH).isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("mesh"))
        elif any(map(item.get_closest_marker, _TIERS)):
            item.add_marker(pytest.mark.xdist_group("apart"))


@pytest.fixture(autouse=True)
def _unit_tests_stay_off_the_network(request: pytest.FixtureRequest) -> None:
    """Sockets are blocked in unit tests; one that serves itself asks for `socket_enabled`."""
    if any(request.node.get_closest_marker(tier) for tier in _TIERS):
        enable_socket()
    elif "socket_enabled" not in request.fixturenames:
        disable_socket(allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _logs_go_where_they_went() -> Iterator[None]:
    """A test that configures logs writes to a stream which ends with it; no later test may."""
    root = logging.getLogger()
    handlers, level, structured = root.handlers[:], root.level, structlog.get_config()
    yield
    structlog.configure(**structured)
    root.setLevel(level)
    root.handlers[:] = handlers
