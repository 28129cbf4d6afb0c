"""Encryption at rest for what must not be read in passing: camera passwords and dead letters."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from mesh.errors import ConfigurationError


class Cipher:
    """Fernet with key rotation: the first key encrypts, any key decrypts."""

    def __init__(self, keys: SecretStr | None) -> None:
        """Take the keys, by commas.

        Raises:
            ConfigurationError: there is no key, or one is no Fernet key.
        """
        if keys is None or not keys.get_secret_value().strip():
            raise ConfigurationError("SIGHTLINE_SECRET_KEY is not set; `mesh key` makes one")
        try:
            parts = [Fernet(key.strip()) for key in keys.get_secret_value().split(",")]
        except ValueError as error:
            raise ConfigurationError(
                "SIGHTLINE_SECRET_KEY: each key must be 32 bytes in URL-safe base64"
            ) from error
        self._first = parts[0]
        self._fernet = MultiFernet(parts)

    @staticmethod
    def new_key() -> str:
        """A fresh random key."""
        return Fernet.generate_key().decode()

    def encrypt(self, data: bytes) -> bytes:
        """A token that only these keys open."""
        return self._fernet.encrypt(data)

    def decrypt(self, token: bytes) -> bytes:
        """The data in a token.

        Raises:
            ConfigurationError: none of the keys opens it.
        """
        try:
            return self._fernet.decrypt(token)
        except InvalidToken as error:
            raise ConfigurationError(
                "SIGHTLINE_SECRET_KEY: none of the keys opens what is stored; was one removed?"
            ) from error

    def renew(self, token: bytes) -> bytes | None:
        """The same data under the first key, or nothing if it is under that key already.

        Raises:
            ConfigurationError: none of the keys opens it.
        """
        try:
            self._first.decrypt(token)
        except InvalidToken:
            return self._first.encrypt(self.decrypt(token))
        return None
