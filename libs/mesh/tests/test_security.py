"""Tokens and encryption."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from pydantic import SecretStr

from mesh.auth import ALGORITHM, AUDIENCE, Identity, InvalidTokenError, Tokens
from mesh.crypto import Cipher
from mesh.errors import ConfigurationError

SECRET = SecretStr("s" * 32)
HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


def test_a_token_tells_who_it_was_issued_to() -> None:
    token = Tokens(SECRET).issue("ann", "operator", HOUR, now())

    assert Tokens(SECRET).verify(token) == Identity("ann", "operator")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        Tokens(SecretStr("t" * 32)).issue("ann", "admin", HOUR, now()),
        jwt.encode({"sub": "ann", "role": "admin", "aud": AUDIENCE}, "s" * 32, ALGORITHM),
        jwt.encode(
            {"sub": "a", "role": "admin", "aud": "other", "exp": now() + HOUR}, "s" * 32, ALGORITHM
        ),
        jwt.encode(
            {"sub": "a", "role": "root", "aud": AUDIENCE, "exp": now() + HOUR}, "s" * 32, ALGORITHM
        ),
    ],
    ids=["empty", "garbage", "foreign secret", "no expiry", "other audience", "unknown role"],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        Tokens(SECRET).verify(token)


def test_an_unsigned_token_is_refused() -> None:
    claims = {"sub": "a", "role": "admin", "aud": AUDIENCE, "exp": now() + HOUR}

    with pytest.raises(InvalidTokenError):
        Tokens(SECRET).verify(jwt.encode(claims, "", "none"))


def test_an_expired_token_says_so() -> None:
    token = Tokens(SECRET).issue("ann", "admin", HOUR, now() - 2 * HOUR)

    with pytest.raises(InvalidTokenError, match="expired"):
        Tokens(SECRET).verify(token)


def test_a_role_includes_the_lesser_ones() -> None:
    assert Identity("ann", "admin").may("viewer")
    assert not Identity("ann", "viewer").may("operator")


@pytest.mark.parametrize("secret", [None, SecretStr("short")])
def test_a_weak_secret_is_refused_by_name(secret: SecretStr | None) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_JWT_SECRET"):
        Tokens(secret)


def test_an_unknown_role_is_not_issued() -> None:
    with pytest.raises(ConfigurationError, match="viewer, operator, admin"):
        Tokens(SECRET).issue("ann", "root", HOUR, now())


def test_what_an_old_key_encrypted_is_readable_after_rotation() -> None:
    old, new = Cipher.new_key(), Cipher.new_key()
    token = Cipher(SecretStr(old)).encrypt(b"pass")

    assert Cipher(SecretStr(f"{new}, {old}")).decrypt(token) == b"pass"
    with pytest.raises(ConfigurationError, match="SIGHTLINE_SECRET_KEY"):
        Cipher(SecretStr(new)).decrypt(token)


def test_what_was_renewed_needs_the_old_key_no_more() -> None:
    old, new = Cipher.new_key(), Cipher.new_key()
    both = Cipher(SecretStr(f"{new},{old}"))

    renewed = both.renew(Cipher(SecretStr(old)).encrypt(b"pass"))

    assert renewed is not None
    assert Cipher(SecretStr(new)).decrypt(renewed) == b"pass"
    assert both.renew(renewed) is None
    with pytest.raises(ConfigurationError, match="none of the keys"):
        both.renew(Cipher(SecretStr(Cipher.new_key())).encrypt(b"pass"))


@pytest.mark.parametrize("key", [None, SecretStr(" "), SecretStr("not a key")])
def test_a_missing_or_malformed_key_is_refused_by_name(key: SecretStr | None) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_SECRET_KEY"):
        Cipher(key)
