"""Stored passwords."""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Passwords:
    """Opens the tokens that camera passwords are stored as.

    Args:
        decrypt: Opens a token; raises `ConfigurationError` if it cannot.
    """

    decrypt: Callable[[bytes], bytes]

    def same(self, before: bytes | None, after: bytes | None) -> bool:
        """Whether two tokens hold the same password, such as one before and after a new key.

        One that cannot be opened is the same as itself alone.
        """
        if before is None or after is None or before == after:
            return before == after
        try:
            return self.decrypt(before) == self.decrypt(after)
        except ConfigurationError:
            return False
