"""Gives tests a real broker, registry, database and S3 server, started when first asked for.

Tests that use one of the fixtures `kafka`, `registry`, `postgres` or `s3` carry the marker
`integration` or `e2e`; SIGHTLINE_TEST_KAFKA, SIGHTLINE_TEST_REGISTRY and SIGHTLINE_TEST_POSTGRES
name running ones to use instead. A test that is skipped because Chromium or GStreamer is absent
fails where SIGHTLINE_REQUIRE_SYSTEM is set.
"""

import os
import re
from collections.abc import Generator, Iterable

import pytest

_INFRASTRUCTURE = frozenset({"kafka", "registry", "postgres", "s3"})
_TIERS = ("integration", "e2e")
_SYSTEM = re.compile("Chromium|GStreamer")


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Makes a skip for want of a system package a failure where the environment says so."""
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    if report.skipped and os.environ.get("SIGHTLINE_REQUIRE_SYSTEM") and _SYSTEM.search(reason):
        report.outcome = "failed"
        report.longrepr = f"SIGHTLINE_REQUIRE_SYSTEM is set, but: {reason}"
    return report
