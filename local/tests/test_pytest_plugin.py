import pytest

pytest_plugins = ["pytester"]

_SKIPS = """
import pytest
def test_page(): pytest.skip("Chromium is absent: install the package chromium")
def test_gpu(): pytest.skip("no accelerator")
"""


def test_a_skip_for_want_of_a_system_package_fails_where_it_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(_SKIPS)
    monkeypatch.delenv("SIGHTLINE_REQUIRE_SYSTEM", raising=False)
    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(skipped=2)
    monkeypatch.setenv("SIGHTLINE_REQUIRE_SYSTEM", "1")
    result = pytester.runpytest_inprocess("-p", "no:asyncio")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*SIGHTLINE_REQUIRE_SYSTEM is set, but: *Chromium is absent*"])


def test_a_unit_test_cannot_ask_for_infrastructure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_broker(kafka): pass")
    result = pytester.runpytest_inprocess("-p", "no:asyncio")
    result.stderr.fnmatch_lines(["*test_broker uses kafka: mark it integration or e2e*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_running_infrastructure_can_be_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAFKA", "REGISTRY", "POSTGRES"):
        monkeypatch.setenv(f"SIGHTLINE_TEST_{name}", f"running-{name.lower()}")
    pytester.makeini("[pytest]\nmarkers =\n    integration: needs it")
    pytester.makepyfile("""
        import pytest
        @pytest.mark.integration
        def test_all(kafka, registry, postgres):
            assert (kafka, registry, postgres) == (
                "running-kafka", "running-registry", "running-postgres")
    """)
    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
