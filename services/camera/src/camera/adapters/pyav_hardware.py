"""Hardware that decodes video instead of the CPU."""

from collections.abc import Sequence

import av
from av.codec.hwaccel import HWAccel

from camera.adapters.pyav_errors import sentence
from camera.domain.life import ErrorCode
from camera.ports import SourceError

_PROBED = "h264"


class Hardware:
    """Finds out once per process whether a kind of hardware can be used.

    There is no silent fall back to the CPU: who asks for hardware has sized the machine by it.
    """

    def __init__(self) -> None:
        self._works: set[str] = set()

    def check(self, name: str | None) -> None:
        """Tries the hardware, unless none is wanted or it worked before.

        Raises:
            SourceError: FFmpeg does not know it, or this machine does not have it.
        """
        if name is None or name in self._works:
            return
        decodes = decoding_hardware()
        if name not in decodes:
            names = ", ".join(decodes) or "none"
            raise _unavailable(f"hardware {name!r} cannot be used: this FFmpeg decodes on {names}")
        try:
            HWAccel(name).create(av.Codec(_PROBED, "r"))
        except av.error.FFmpegError as error:
            raise _unavailable(
                f"hardware {name} is not there or cannot be used: {sentence(error)}"
            ) from error
        self._works.add(name)

    def acceleration(self, name: str | None) -> HWAccel | None:
        """What FFmpeg is told; pictures are brought back into memory."""
        return None if name is None else HWAccel(name, allow_software_fallback=False)


def decoding_hardware() -> Sequence[str]:
    """What this FFmpeg can decode with, whether the machine has it or not."""
    configurations = av.Codec(_PROBED, "r").hardware_configs
    return [each.device_type.name for each in configurations if each.is_supported]


def _unavailable(message: str) -> SourceError:
    return SourceError(ErrorCode.HARDWARE_UNAVAILABLE, message)
