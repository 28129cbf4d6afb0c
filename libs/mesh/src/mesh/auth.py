"""Bearer tokens: JWT with HS256 (RFC 7519)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from pydantic import SecretStr

from mesh.errors import ConfigurationError, MeshError

ALGORITHM = "HS256"
AUDIENCE = "sightline"
ROLES = ("viewer", "operator", "admin")
"""What a token may allow, each including the ones before: see, change, administer."""
_MIN_SECRET = 32


class InvalidTokenError(MeshError):
    """The token is not ours, has expired, or names an unknown role."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request."""

    subject: str
    role: str

    def may(self, role: str) -> bool:
        """Whether this identity's role includes the given one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Tokens:
    """Issues and verifies tokens with one secret."""

    def __init__(self, secret: SecretStr | None) -> None:
        """Take the secret.

        Raises:
            ConfigurationError: it is missing or shorter than 32 characters.
        """
        if secret is None or len(secret.get_secret_value()) < _MIN_SECRET:
            raise ConfigurationError("SIGHTLINE_JWT_SECRET needs at least 32 characters")
        self._secret = secret

    def issue(self, subject: str, role: str, lifetime: timedelta, now: datetime) -> str:
        """A token for a subject.

        Raises:
            ConfigurationError: the role is not one of `ROLES`.
        """
        if role not in ROLES:
            raise ConfigurationError(f"role must be one of {', '.join(ROLES)}, not {role}")
        claims = {
            "sub": subject,
            "role": role,
            "aud": AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        return jwt.encode(claims, self._secret.get_secret_value(), ALGORITHM)

    def verify(self, token: str) -> Identity:
        """Who the token was issued to.

        Raises:
            InvalidTokenError: the token is not ours, has expired, or names an unknown role.
        """
        try:
            claims = jwt.decode(
                token,
                self._secret.get_secret_value(),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["sub", "role", "exp"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise InvalidTokenError("the token has expired") from error
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError("the token is not valid") from error
        if claims["role"] not in ROLES:
            raise InvalidTokenError("the token names an unknown role")
        return Identity(subject=str(claims["sub"]), role=claims["role"])
