"""Gives tests a real broker, registry and database, started once per session when asked for.

Tests that use one of the fixtures `kafka`, `registry` or `postgres` carry the marker `integration`
or `e2e`; SIGHTLINE_TEST_KAFKA, SIGHTLINE_TEST_REGISTRY and SIGHTLINE_TEST_POSTGRES name running
ones to use instead.
"""

from collections.abc import Iterable

import pytest

_INFRASTRUCTURE = frozenset({"kafka", "registry", "postgres"})
_TIERS = ("integration", "e2e")


def pytest_configure(config: pytest.Config) -> None:
    """Loads the fixtures, by name, so that what they import is measured by coverage too."""
    config.pluginmanager.import_plugin("local.pytest_fixtures")


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Refuses a unit test that asks for infrastructure.

    Raises:
        pytest.UsageError: A test uses a fixture of its tier without the tier's marker.
    """
    for item in items:
        used = _INFRASTRUCTURE.intersection(getattr(item, "fixturenames", ()))
        if used and not any(item.get_closest_marker(tier) for tier in _TIERS):
            names = ", ".join(sorted(used))
            raise pytest.UsageError(f"{item.nodeid} uses {names}: mark it integration or e2e")
