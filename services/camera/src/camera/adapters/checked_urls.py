"""Stream addresses that lead to the very hosts that the address policy allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from camera.domain.life import ErrorCode
from camera.ports import SourceError
from mesh.addresses import AddressPolicy, ForbiddenAddressError, Resolve, resolve

_PORT = 554


@dataclass(frozen=True, slots=True)
class CheckedUrls:
    """Puts the addresses of a host in place of its name.

    FFmpeg asks the name service again when it connects, and whoever owns the name may answer
    something else by then. An `rtsps` address keeps its name, which belongs to TLS.
    """

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    resolve: Resolve = resolve

    def of(self, url: str) -> Sequence[str]:
        """The URLs to connect to, in the order of the name service; blocks for seconds.

        Raises:
            SourceError: One of the host's addresses is forbidden, or there is none.
        """
        parts, found = urlsplit(url), self.addresses(url)
        if parts.scheme == "rtsps":
            return [url]
        user, at, _ = parts.netloc.rpartition("@")
        port = "" if parts.port is None else f":{parts.port}"
        places = [f"[{address}]" if ":" in address else address for address in found]
        return [urlunsplit(parts._replace(netloc=f"{user}{at}{place}{port}")) for place in places]

    def addresses(self, url: str) -> Sequence[str]:
        """The addresses of its host, in the order of the name service; blocks for seconds.

        Raises:
            SourceError: One of them is forbidden, or there is none.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            self.policy.check_literal(host)
            found = self.resolve(host, parts.port or _PORT)
            self.policy.check(host, found)
        except ForbiddenAddressError as error:
            raise SourceError(ErrorCode.FORBIDDEN_ADDRESS, str(error)) from error
        except OSError as error:
            why = error.strerror or "it has no address"
            raise SourceError(ErrorCode.UNREACHABLE, f"{host} is not known: {why}") from error
        return found
