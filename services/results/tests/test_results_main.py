"""`python -m results` starts one role, and says why it does not."""

import os
import subprocess
import sys

import pytest

from results.adapters import job_rounds, keeper, ledger_loop, migrate, outbox


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "results", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("painter",), ("writer", "keeper")])
def test_a_role_must_be_named(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 64
    assert "usage: python -m results gateway|writer|keeper" in ended.stderr


def test_a_setting_out_of_range_is_named() -> None:
    ended = run("keeper", SIGHTLINE_SNAPSHOT_DAYS="0")
    assert ended.returncode == 78
    assert "SIGHTLINE_SNAPSHOT_DAYS" in ended.stderr


def test_no_two_parts_wait_for_the_same_lock() -> None:
    locks = [
        keeper._LOCK, ledger_loop._LOCK, job_rounds._LOCK, migrate._LOCK, outbox._LOCK
    ]  # fmt: skip
    assert len(set(locks)) == len(locks)
