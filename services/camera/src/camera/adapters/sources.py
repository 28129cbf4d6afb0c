"""Which source reads a camera, and whether it may be connected to at all."""

from collections.abc import Callable, Mapping

from camera.domain.life import ErrorCode
from camera.ports import FrameSource, SourceError
from mesh.addresses import AddressError, AddressPolicy, Resolve, resolve
from mesh.credentials import names_password
from mesh.errors import ConfigurationError
from mesh.events import Camera, StreamConfig, StreamType

Maker = Callable[[Camera, str | None], FrameSource]
"""Makes the source of a camera from its settings and its password in clear text.

Raises `SourceError` for settings that no such source can have.
"""


class Sources:
    """Makes the source that suits a camera; thread-safe, may block on the name service.

    Args:
        makers: By kind of stream.
        decrypt: Opens an encrypted password; raises `ConfigurationError` if it cannot.
        policy: Where nobody may connect to.
        resolve: Asks the name service.
    """

    def __init__(
        self,
        makers: Mapping[StreamType, Maker],
        *,
        decrypt: Callable[[bytes], bytes],
        policy: AddressPolicy,
        resolve: Resolve = resolve,
    ) -> None:
        self._makers = makers
        self._decrypt = decrypt
        self._policy = policy
        self._resolve = resolve

    def __call__(self, camera: Camera) -> FrameSource:
        """A source that is not connected yet.

        Raises:
            SourceError: Streams of this kind, at this address, or with these settings cannot be
                read.
        """
        stream = camera.stream
        maker = self._makers.get(stream.stream_type)
        if maker is None:
            known = ", ".join(self._makers)
            raise SourceError(
                ErrorCode.UNSUPPORTED, f"{stream.stream_type} cannot be read, only {known}"
            )
        try:
            self._policy.check_stream(stream, self._resolve)
        except AddressError as error:
            code = ErrorCode.FORBIDDEN_ADDRESS if error.forbidden else ErrorCode.UNSUPPORTED
            raise SourceError(code, str(error)) from error
        password = self._password(stream)
        urls = filter(None, (stream.url, stream.sub_url))
        if password is None and any(map(names_password, urls)):
            why = "the address wants a password, and none is stored"
            raise SourceError(ErrorCode.UNAUTHORIZED, why)
        return maker(camera, password)

    def _password(self, stream: StreamConfig) -> str | None:
        if stream.password_encrypted is None:
            return None
        try:
            return self._decrypt(stream.password_encrypted).decode()
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise SourceError(
                ErrorCode.UNAUTHORIZED, f"the stored password cannot be opened: {error}"
            ) from error
