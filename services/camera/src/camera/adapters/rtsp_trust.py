"""Whose certificates RTSP over TLS believes."""

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from camera.domain.life import ErrorCode
from camera.ports import SourceError

_PORT = 322
_BUNDLE = "ca-certificates.crt"
"""Of the directories of certificates that FFmpeg's GnuTLS cannot read, the file with all."""


def _authorities() -> str | None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return paths.cafile
    bundle = Path(paths.capath or "", _BUNDLE)
    return str(bundle) if bundle.is_file() else None


@dataclass(frozen=True, slots=True)
class Trust:
    """Has FFmpeg check certificates, and finds out why it refused one, which it does not tell."""

    authorities: str | None = field(default_factory=_authorities)
    """File of the certificates that vouch for others; unless given, `SSL_CERT_FILE` or the
    system's; where there is none, the one that GnuTLS knows."""

    @property
    def options(self) -> Mapping[str, str]:
        """For FFmpeg; of no concern to streams without TLS."""
        known = {} if self.authorities is None else {"ca_file": self.authorities}
        return {"tls_verify": "1", **known}

    def check(self, url: str, addresses: Sequence[str], seconds: float) -> None:
        """Shakes hands once more with a camera that could not be connected to.

        Args:
            url: Of the stream; only one that begins with rtsps is looked at.
            addresses: Of its host, that may be connected to.
            seconds: How long it may take.

        Raises:
            SourceError: Its certificate is not trusted.
        """
        parts, deadline = urlsplit(url), time.monotonic() + seconds
        for address in addresses if parts.scheme == "rtsps" else ():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(OSError):
                self._shake_hands(parts.hostname or "", (address, parts.port or _PORT), left)
                return

    def _shake_hands(self, host: str, address: tuple[str, int], seconds: float) -> None:
        context = ssl.create_default_context(cafile=self.authorities)
        with socket.create_connection(address, seconds) as connection:
            try:
                context.wrap_socket(connection, server_hostname=host).close()
            except ssl.SSLCertVerificationError as error:
                why = f"{host}: the certificate is not trusted: {error.verify_message}"
                raise SourceError(ErrorCode.UNTRUSTED, why) from error
