"""What happens to models, as log events for people."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from inference.link_health import LinkState
from inference.links import Change
from mesh.clock import Clock
from mesh.errors import TransientError
from mesh.events import LogEvent, SwitchModel
from mesh.identity import derived_id, new_id
from mesh.model_status import Publisher
from mesh.stage import Output

_KEPT = 1000
_LOOK_SECONDS = 0.5
_PATIENCE = timedelta(seconds=5)
_SEVERITY = {
    "model_restored": "info",
    "model_switched": "info",
    "model_degraded": "warning",
    "model_fallback": "warning",
    "model_switch_refused": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Who tells."""

    service: str
    task: str
    """face-detection or face-recognition."""
    instance_id: str
    topic: str
    """Full name of the topic `events`."""


class ModelNews:
    """Publishes what happens to the models of a task from a thread of its own.

    Telling never blocks. While the broker is away the newest thousand events are kept.
    """

    def __init__(self, teller: Teller, producer: Publisher, clock: Clock) -> None:
        """Take who tells, and a producer that nothing else uses."""
        self._teller = teller
        self._producer = producer
        self._clock = clock
        self._waiting: deque[LogEvent] = deque(maxlen=_KEPT)

    def changed(self, change: Change[Any], *, task: str | None = None) -> None:
        """A chain told a change; of another task than the teller's if one is named."""
        link, stand_in = change.link, change.stand_in
        attributes = {
            "model_id": link.model_id,
            "device": link.device,
            "link": link.name,
            "state": change.state.value,
            "reason": change.reason,
            "task": task or self._teller.task,
        }
        message = f"{link.model_id} on {link.device} is {change.state}: {change.reason}"
        if stand_in is not None:
            attributes |= {
                "primary_model": link.model_id,
                "fallback_model": stand_in.model_id,
                "fallback_device": stand_in.device,
            }
            message = (
                f"{stand_in.model_id} on {stand_in.device} stands in for {link.model_id} "
                f"on {link.device}: {change.reason}"
            )
        failed = change.kind == "model_degraded" and change.state is LinkState.FAILED
        self._tell(change.kind, message, attributes, severity="error" if failed else None)

    def switched(self, command: SwitchModel, before: str) -> None:
        """A command was carried out."""
        message = f"{command.model_id} serves {command.task} now instead of {before}"
        self._tell("model_switched", message, _of(command, before), command=command)

    def refused(self, command: SwitchModel, serving: str, reason: str) -> None:
        """A command cannot be carried out; what served before goes on."""
        message = f"{command.model_id} cannot serve {command.task}: {reason}; {serving} goes on"
        attributes = _of(command, serving) | {"reason": reason}
        self._tell("model_switch_refused", message, attributes, command=command)

    def run(self, stop: threading.Event, warn: Callable[[str], None]) -> None:
        """Publish until `stop` is set; blocks. A broker that is away is waited for.

        Args:
            stop: ends it within a second, or what the broker takes.
            warn: told why nothing could be published.
        """
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.publish()
            except TransientError as error:
                warn(str(error))

    def publish(self) -> None:
        """Send what waits, in order.

        Raises:
            TransientError: the broker did not acknowledge it all; what is left waits.
        """
        while self._waiting:
            event = self._waiting[0]
            self._producer.send(Output(self._teller.topic, event.attributes["model_id"], event))
            self._producer.flush(_PATIENCE)
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()

    def _tell(
        self,
        kind: str,
        message: str,
        attributes: Mapping[str, str],
        *,
        command: SwitchModel | None = None,
        severity: str | None = None,
    ) -> None:
        teller = self._teller
        event_id = (
            derived_id(
                "evt", kind, teller.instance_id, command.model_id, command.requested_at.isoformat()
            )
            if command
            else new_id("evt")
        )
        self._waiting.append(
            LogEvent(
                event_id=event_id,
                event_type=kind,
                occurred_at=self._clock.now(),
                severity=severity or _SEVERITY[kind],
                service=teller.service,
                instance_id=teller.instance_id,
                message=message,
                attributes={"task": teller.task, **attributes},
            )
        )


def _of(command: SwitchModel, before: str) -> dict[str, str]:
    return {
        "model_id": command.model_id,
        "serving_before": before,
        "requested_by": command.requested_by,
        "requested_at": command.requested_at.isoformat(timespec="milliseconds"),
    }
