"""The loop that every stage runs on: poll, decode, process, publish, store offsets."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from mesh.clock import Clock, SystemClock
from mesh.errors import MeshError, RejectedRecordError, TransientError
from mesh.kafka.handler import Handler
from mesh.kafka.lane import Consumed, Lane
from mesh.kafka.membership import Membership
from mesh.kafka.outbox import Leaving, Outbox, Settled
from mesh.kafka.progress import Gap
from mesh.kafka.standstill import Standstill
from mesh.logs import handling
from mesh.ports import Codec, Heartbeat, NoMetrics, WorkerMetrics
from mesh.retry import RetryPolicy
from mesh.scheduler import Scheduled, Scheduler, Shed
from mesh.stage import Output
from mesh.watchdog import Watchdog

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_ZERO = timedelta(0)
_TICK = timedelta(milliseconds=100)
_REPORT_SECONDS = 5.0
_CATCH_UP_SECONDS = 0.25
_USUAL_BATCH_TIMEOUT = timedelta(minutes=1)
_JOIN_MARGIN = timedelta(seconds=15)
_OTHERS = 12
"""A record waits so small a share of `max_wait` at most while another lane is waited for."""


class StoppedError(MeshError):
    """The worker was asked to stop while it waited to try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPolicy:
    """How a worker batches, waits and gives up."""

    batch_size: int = 8
    """Largest batch."""
    max_wait: timedelta = timedelta(milliseconds=100)
    """Longest wait for a first record with one lane. Of several lanes the one that gave the last
    record is waited for, a twelfth as long, then all are asked."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """For what is nobody's fault; when it is exhausted the process ends."""
    attempts: int = 3
    """The attempt at which a record is given up instead of being processed."""
    batch_timeout: timedelta | None = None
    """A batch that takes longer ends the process, uncleanly: a hung engine never returns."""

    @property
    def join_timeout(self) -> timedelta:
        """The process ends if the broker answers for so long and keeps a lane out of its group.

        Members that are busy delay the others, so this is more than a batch may take.
        """
        return (self.batch_timeout or _USUAL_BATCH_TIMEOUT) + _JOIN_MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a worker reports to, and when it ends."""

    stop: threading.Event
    heartbeat: Heartbeat
    watchdog: Watchdog = field(default_factory=Watchdog)
    metrics: WorkerMetrics = field(default_factory=NoMetrics)
    clock: Clock = field(default_factory=SystemClock)
    on_gap: Callable[[str, Gap], Sequence[Output]] = lambda *_: ()
    """What to publish about offsets that the broker no longer had."""


@dataclass(slots=True)
class _Flight:
    """A batch on its way, and the gaps that are told with it."""

    leaving: Leaving
    gaps: Sequence[tuple[Lane, Gap]]
    sent: bool = False
    """Whether all of it was handed to the producer since the last failure."""

    def send(self, outbox: Outbox) -> None:
        """Hand it over, unless that is done."""
        if not self.sent:
            outbox.send(self.leaving)
            self.sent = True

    def confirm(self, outbox: Outbox) -> None:
        """Wait for the acknowledgements; without them it has to be sent once more."""
        self.sent = False
        outbox.confirm(self.leaving)
        self.sent = True


class StreamWorker:
    """Runs a `Stage` over one consumer per lane, all in the calling thread.

    The order, for every batch:

    1. Read what each lane has room for; undecodable records become dead letters. A lane whose
       newest records win is read to its end.
    2. Let the scheduler choose a batch. What it sheds is given up, published with the batch.
    3. Once per assigned partition: commit that it is being worked on (`mesh.kafka.progress`).
    4. Process the batch; a suspect of an unclean end alone, and only after its attempt is counted.
    5. Publish outputs and dead letters; the next batch is processed while the broker answers.
    6. Before anything more is published, and at once where there is nothing to do: wait for all
       acknowledgements, then store the lowest unfinished offset of each partition; the client
       commits it soon after.

    `TransientError` in 3 to 5 repeats that step by policy, while the lanes, paused, go on polling,
    so that heartbeats and rebalances are served; when the policy gives up, the process ends and
    nothing is held against the records. Any other exception ends the process at once with the
    offsets unstored and the partitions marked as running, which makes suspects of the records; so
    does a batch that takes longer than the policy's `batch_timeout`.
    """

    def __init__(
        self,
        *,
        lanes: Sequence[Lane],
        scheduler: Scheduler,
        codec: Codec,
        handler: Handler,
        outbox: Outbox,
        standstill: Standstill,
        policy: WorkerPolicy,
        surroundings: Surroundings,
    ) -> None:
        self._lanes = lanes
        self._scheduler = scheduler
        self._codec = codec
        self._handler = handler
        self._outbox = outbox
        self._policy = policy
        self._around = surroundings
        self._undecodable: list[Settled] = []
        self._flight: _Flight | None = None
        self._likely = lanes[0]
        self._slice = policy.max_wait / (1 if len(lanes) == 1 else _OTHERS)
        self._standstill = standstill
        self._membership = Membership(lanes, surroundings.clock, policy.join_timeout)
        self._report_due = 0.0
        self._stuck = False

    def run(self) -> None:
        """Work until `stop` is set, then finish the batch in hand, commit and leave the group.

        Raises:
            TransientError: the retry policy gave up, or a lane is kept out of its group.
            DeadLetterLimitError: too many records were rejected.
        """
        orderly = False
        self._around.watchdog.start()
        try:
            self._join()
            while not self._around.stop.is_set():
                self._run_once()
            self._land()
            orderly = True
        except MeshError as error:
            orderly = True  # nothing of this is held against the records in hand
            if not isinstance(error, StoppedError):
                raise
        finally:
            self._around.watchdog.stop()
            for lane in self._lanes:
                lane.close(orderly=orderly)

    def _join(self) -> None:
        for lane in self._lanes:
            lane.open(self._scheduler.drop, self._land_or_leave)

    def _run_once(self) -> None:
        self._around.heartbeat.beat()
        self._read()
        scheduled = self._scheduler.next_batch(self._around.clock.now(), self._policy.batch_size)
        self._stuck = not (scheduled.batch or scheduled.shed)
        ended = [*self._take_undecodable(), *self._give_up(scheduled.shed)]
        for batch in self._batches(scheduled):
            with handling(batch):
                self._settle([*ended, *self._process(batch)])
                if batch[0].suspect:
                    self._land()  # or it would be charged with the end of what follows
            ended = []
        self._settle(ended)
        self._report()

    def ready(self) -> str | None:
        """What keeps work from being done; nothing once every lane joined its group and moves."""
        missing = [lane.spec.name for lane in self._lanes if not lane.joined]
        if missing:
            return f"no partitions assigned yet: {', '.join(missing)}"
        return self._standstill.problem()

    def _read(self) -> None:
        """Read what there is room for; wait for a first record only if nothing can be done.

        The wait is for the lane that gave the last one: a client of Kafka tells nobody but its own
        poll that something came, and going round all lanes costs more the shorter the turns are.

        A full lane is not polled, for pausing would throw away what the client has fetched; but it
        is, paused, once nothing moves any more.
        """
        found = [self._read_lane(lane, _ZERO) for lane in self._lanes]
        waiting = any(self._scheduler.waiting(lane.spec.name) for lane in self._lanes)
        if self._stuck or not (waiting or any(found)):
            self._land()
            self._read_lane(self._likely, self._slice)

    def _read_lane(self, lane: Lane, wait: timedelta) -> bool:
        """Read a lane, or only serve its group; whether there was a record."""
        idle = lane.spec.held() or (self._stuck and not lane.room)
        records = lane.wait(wait) if idle else lane.read(wait)
        self._take_in(lane, records)
        if records:
            self._likely = lane
            if lane.spec.newest_wins:
                self._catch_up(lane)
        return bool(records)

    def _catch_up(self, lane: Lane) -> None:
        """Read on to the end, where alone the newest frame of each camera is known.

        What is superseded on the way is settled at once, which makes room. Other lanes wait, but
        not for long.
        """
        clock = self._around.clock
        end = clock.monotonic() + _CATCH_UP_SECONDS
        while lane.behind and clock.monotonic() < end and not self._around.stop.is_set():
            if not lane.room:
                scheduled = self._scheduler.next_batch(clock.now(), 0)
                self._settle([*self._give_up(scheduled.shed)])
                self._land()
            if not lane.room:
                return
            self._take_in(lane, lane.read(_TICK / 10))

    def _take_in(self, lane: Lane, records: Sequence[Consumed]) -> None:
        for record in records:
            try:
                with handling([record]):
                    decoded = self._patiently(partial(self._decode, record))
            except RejectedRecordError as error:
                self._undecodable.append(self._handler.reject(record, f"undecodable: {error}"))
            else:
                if decoded.owned:  # a wait for the registry may have seen its partition leave
                    self._scheduler.add(lane.spec.name, decoded)
        if records:
            self._around.metrics.consumed(lane.spec.name, len(records))

    def _decode(self, record: Consumed) -> Consumed:
        if record.original is not None:
            return replace(record, event=self._codec.decode(record.topic, record.original))
        if not record.lane.compacted:
            raise RejectedRecordError("no value, on a topic that is not compacted")
        return record

    def _take_undecodable(self) -> list[Settled]:
        taken, self._undecodable = self._undecodable, []
        return taken

    def _give_up(self, shed: Sequence[Shed]) -> Iterator[Settled]:
        for (lane, reason), count in Counter((each.lane, each.reason) for each in shed).items():
            self._around.metrics.shed(lane, reason, count)
        for reason in dict.fromkeys(each.reason for each in shed):
            records = [cast(Consumed, each.record) for each in shed if each.reason == reason]
            with handling(records):
                settled = self._patiently(partial(self._handler.give_up, records, "shed", reason))
            yield from settled

    def _batches(self, scheduled: Scheduled) -> Iterator[list[Consumed]]:
        """Suspects first and alone, which keeps the order within each key, then the rest."""
        rest = []
        for record in cast(Sequence[Consumed], scheduled.batch):
            if record.suspect:
                yield [record]
            else:
                rest.append(record)
        if rest:
            yield rest

    def _process(self, batch: Sequence[Consumed]) -> list[Settled]:
        if batch[0].suspect:
            return self._process_suspect(batch[0])
        for lane in self._lanes:
            mine = [record for record in batch if record.lane is lane]
            self._patiently(partial(lane.mark_running, mine))
        return self._patiently(partial(self._handler.process, batch))

    def _process_suspect(self, record: Consumed) -> list[Settled]:
        self._land()
        attempt = record.progress.count_attempt(record.offset)
        self._patiently(partial(record.lane.commit_marks, [record.progress]))
        return self._patiently(partial(self._handler.process_suspect, record, attempt))

    def _settle(self, settled: Sequence[Settled]) -> None:
        """Send what became of records on its way, once what went before has arrived."""
        if not settled and not any(lane.gaps() for lane in self._lanes):
            return
        self._land()
        gaps = [(lane, gap) for lane in self._lanes for gap in lane.gaps()]
        outputs = [output for lane, gap in gaps for output in self._around.on_gap(lane.group, gap)]
        if not settled and not outputs:
            return
        more = self._patiently(partial(self._outbox.pack, {}, outputs))
        self._flight = flight = _Flight(Leaving(settled, more), gaps)
        self._patiently(partial(flight.send, self._outbox))

    def _land(self) -> None:
        """Wait until what is on its way has arrived, then let its offsets go."""
        self._patiently(self._try_to_land)

    def _try_to_land(self) -> None:
        if (flight := self._flight) is not None:
            flight.send(self._outbox)
            flight.confirm(self._outbox)
            self._arrived(flight)

    def _land_or_leave(self) -> None:
        """The same while partitions go: what does not arrive now, the next owner repeats."""
        if self._flight is not None and self._flight.sent:
            try:
                self._try_to_land()
            except TransientError as error:
                _log.warning("partitions left while a batch was on its way: %s", error)

    def _arrived(self, flight: "_Flight") -> None:
        self._flight = None
        for each in flight.leaving.settled:
            each.record.finish()
        for lane, gap in flight.gaps:
            lane.reported([gap])
        for lane in self._lanes:
            lane.store()

    def _patiently(self, action: Callable[[], _T]) -> _T:
        """Do it, again and again if need be, for as long as the retry policy says."""
        failures = 0
        while True:
            try:
                return action()
            except TransientError as error:
                failures += 1
                decision = self._policy.retry.decide(failures)
                if self._around.stop.is_set():
                    raise StoppedError(str(error)) from error
                if decision is None:
                    raise
                self._around.metrics.retried(failures)
                _log.warning("attempt %d failed, %s more: %s", failures, decision.delay, error)
                self._wait(decision.delay)

    def _wait(self, delay: timedelta) -> None:
        """Poll the paused lanes for so long, or until `stop` is set."""
        end = self._around.clock.monotonic() + delay.total_seconds()
        while not self._around.stop.is_set():
            left = timedelta(seconds=end - self._around.clock.monotonic())
            if left <= _ZERO:
                return
            self._around.heartbeat.beat()
            for lane in self._lanes:
                self._take_in(lane, lane.wait(min(left, _TICK) / len(self._lanes)))

    def _report(self) -> None:
        now = self._around.clock.monotonic()
        if now < self._report_due:
            return
        self._report_due = now + _REPORT_SECONDS
        self._membership.check()
        metrics = self._around.metrics
        told = self._standstill.look(
            {place: offset for lane in self._lanes for place, offset in lane.read_until().items()}
        )
        for lane in self._lanes:
            metrics.waiting(lane.spec.name, self._scheduler.waiting(lane.spec.name))
            metrics.paused(lane.spec.name, paused=lane.spec.held())
            known = dict(lane.lag())
            for source in lane.read_until().keys() | known:
                records = max(known.get(source, -1), told.get(source, -1))
                if records >= 0:
                    metrics.lag(source, records)
