from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from local.keys import JWT_SECRET, SECRET_KEY, ensure_keys
from mesh.errors import ConfigurationError


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secrets.env"
    first = ensure_keys(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert ensure_keys(path, {}) == first
    Fernet(first[SECRET_KEY])
    assert len(first[JWT_SECRET]) >= 32


def test_a_key_of_the_environment_wins(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path / "secrets.env", {JWT_SECRET: "mine" * 10})
    assert keys[JWT_SECRET] == "mine" * 10
    assert "mine" not in (tmp_path / "secrets.env").read_text()


def test_a_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    ensure_keys(path, {})
    path.chmod(0o644)
    ensure_keys(path, {})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("SIGHTLINE_SECRET_KEY\n")
    with pytest.raises(ConfigurationError, match=r"secrets\.env: every line must be NAME=value"):
        ensure_keys(path, {})
