"""The use case: look for cameras that nobody registered yet, and answer whoever asked."""

import asyncio
from collections.abc import Callable, Mapping

from camera.domain.found import KINDS, Findings, Search, SearchError, once
from camera.ports import CameraFinder
from mesh.clock import Clock
from mesh.errors import ConfigurationError
from mesh.events import Answer, DiscoverCameras

_MARGIN_SECONDS = 0.3
"""Left of the time for the answer's way."""
_LEAST_SECONDS, _MOST_SECONDS = 0.2, 30.0
_MOST_HOSTS = 64


class CameraSearch:
    """Looks for cameras of every kind at once.

    Args:
        finders: By kind; none of a kind that this installation does not look for.
        decrypt: Opens an encrypted password; raises `ConfigurationError` if it cannot.
        clock: The time of answers.
        enabled: Whether anything is looked for at all.
    """

    def __init__(
        self,
        finders: Mapping[str, CameraFinder],
        *,
        decrypt: Callable[[bytes], bytes],
        clock: Clock,
        enabled: bool = True,
    ) -> None:
        self._finders = finders
        self._decrypt = decrypt
        self._clock = clock
        self._enabled = enabled

    def understand(self, command: DiscoverCameras) -> Search:
        """What a command asks for, with the password in clear text.

        Raises:
            SearchError: Looking is switched off, or the command cannot be carried out.
        """
        if not self._enabled:
            raise SearchError("DISCOVERY_OFF", "SIGHTLINE_DISCOVERY switches looking off here")
        unknown = [kind for kind in command.kinds if kind not in KINDS]
        if unknown or not command.kinds:
            known = ", ".join(KINDS)
            raise SearchError("INVALID_REQUEST", f"kinds {unknown} are none of {known}")
        if len(command.hosts) > _MOST_HOSTS:
            raise SearchError("INVALID_REQUEST", f"more than {_MOST_HOSTS} hosts")
        seconds = command.timeout_ms / 1000 - _MARGIN_SECONDS
        return Search(
            kinds=tuple(sorted(set(command.kinds))),
            hosts=tuple(command.hosts),
            username=command.username,
            password=self._password(command.password_encrypted),
            seconds=min(_MOST_SECONDS, max(_LEAST_SECONDS, seconds)),
        )

    async def look(self, search: Search) -> Findings:
        """Looks for so long as was asked; a kind that fails does not stop the others."""
        kinds = [kind for kind in search.kinds if kind in self._finders]
        outcomes = await asyncio.gather(*(self._of_kind(kind, search) for kind in kinds))
        return Findings(
            once(device for one in outcomes for device in one.devices),
            [problem for one in outcomes for problem in one.problems],
        )

    def answer(self, command: DiscoverCameras, outcome: Findings | SearchError) -> Answer:
        """The answer to whoever asked."""
        if isinstance(outcome, SearchError):
            outcome = Findings(problems=[outcome])
        problem = next(iter(outcome.problems), None)
        failed = problem is not None and not outcome.devices
        number = len(outcome.devices)
        told = "1 camera was found" if number == 1 else f"{number} cameras were found"
        return Answer(
            request_id=command.request_id,
            kind="discovery",
            status="error" if failed else "success",
            code=None if problem is None else problem.code,
            message=told if problem is None else f"{told}; {problem}",
            answered_at=self._clock.now(),
            devices=tuple(outcome.devices),
        )

    async def _of_kind(self, kind: str, search: Search) -> Findings:
        try:
            return Findings(await self._finders[kind].find(search))
        except SearchError as error:
            return Findings(problems=[error])
        except TimeoutError:
            problem = SearchError("TIMEOUT", f"looking for {kind} took longer than asked")
            return Findings(problems=[problem])

    def _password(self, token: bytes | None) -> str | None:
        if token is None:
            return None
        try:
            return self._decrypt(token).decode()
        except (ConfigurationError, UnicodeDecodeError) as error:
            raise SearchError(
                "PASSWORD_UNREADABLE", f"the password cannot be opened here: {error}"
            ) from error
