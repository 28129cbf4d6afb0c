"""Which transport an RTSP camera needed."""


class Transports:
    """Remembers for each address which transport worked last, for cameras that leave it open."""

    def __init__(self) -> None:
        self._worked: dict[str, str] = {}

    def first(self, url: str) -> str:
        """What to begin with: UDP, unless TCP was needed the last time."""
        return self._worked.get(url, "udp")

    def worked(self, url: str, transport: str) -> None:
        """Pictures came this way."""
        self._worked[url] = transport

    def failed(self, url: str) -> None:
        """No way worked: the next attempt begins anew."""
        self._worked.pop(url, None)
