"""Deficit round robin: lanes by guaranteed share, and within a lane cameras by weight.

Source: Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit Round-Robin", IEEE/ACM
Transactions on Networking 4(3), 1996; here every record costs one, and turns are interleaved.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from mesh.record import Record, TopicPartition
from mesh.scheduler import SUPERSEDED, LaneSpec, Scheduled, Shed

_DEBT = -1.0
"""A lane that was lent more than this, because others had little to do, owes no more."""
_Queue = deque[Record[Any]]


class _Buffer:
    """One lane's waiting records, by key.

    A round gives each key as many turns as its weight, one at a time; it ends when no key with
    turns left has a record. A key that has nothing waiting keeps its remaining turns until then:
    a live camera never has more than one frame waiting, and its weight would count for nothing.
    """

    def __init__(self, lane: LaneSpec) -> None:
        self.lane = lane
        self.size = 0
        self.credit = 0.0
        """Records that the lane may take before anything is given away."""
        self._superseded: list[Shed] = []
        self._turns: dict[str | None, int] = {}
        self._ready: OrderedDict[str | None, _Queue] = OrderedDict()
        self._spent: OrderedDict[str | None, _Queue] = OrderedDict()

    def add(self, record: Record[Any]) -> None:
        queue = self._ready.get(record.key) or self._spent.get(record.key)
        if queue is None:
            turns = self._turns.setdefault(record.key, self.lane.weight(record))
            queue = deque()
            (self._ready if turns else self._spent)[record.key] = queue
        elif self.lane.newest_wins and self.lane.yields(record):
            self._supersede(queue)
        queue.append(record)
        self.size += 1

    def take(self, now: datetime, count: int) -> tuple[list[Record[Any]], list[Shed]]:
        """Up to `count` records, one of each key in turn; stale ones on the way are shed."""
        taken: list[Record[Any]] = []
        shed, self._superseded = self._superseded, []
        while self.size and len(taken) < count:
            record, reason = self._pop(now)
            if reason is None:
                taken.append(record)
            else:
                shed.append(self._shed(record, reason))
        return taken, shed

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        before = self.size
        for queues in (self._ready, self._spent):
            for key, queue in list(queues.items()):
                kept = deque(record for record in queue if record.source not in partitions)
                self.size += len(kept) - len(queue)
                queues[key] = kept
                if not kept:
                    del queues[key]
        return before - self.size

    def _pop(self, now: datetime) -> tuple[Record[Any], str | None]:
        """The next record in turn; a stale one costs its key nothing."""
        if not self._ready:
            self._ready, self._spent = self._spent, self._ready
            self._turns = {key: self.lane.weight(each[0]) for key, each in self._ready.items()}
        key, queue = self._ready.popitem(last=False)
        record = queue.popleft()
        reason = self.lane.stale(record, now)
        self._turns[key] -= reason is None
        if queue:
            (self._ready if self._turns[key] else self._spent)[key] = queue
        self.size -= 1
        if not self.size:
            self._turns.clear()
        return record, reason

    def _supersede(self, queue: _Queue) -> None:
        """Leave in the queue, in order, what does not yield to newer records."""
        for _ in range(len(queue)):
            record = queue.popleft()
            if self.lane.yields(record):
                self._superseded.append(self._shed(record, SUPERSEDED))
                self.size -= 1
            else:
                queue.append(record)

    def _shed(self, record: Record[Any], reason: str) -> Shed:
        return Shed(record, reason, self.lane.name)


class DeficitRoundRobin:
    """Lanes in order of priority, each with its share, and within a lane one key after the other.

    Every lane with waiting records saves up its share of each batch, to one whole batch at most,
    and may spend it before anything else is given away; what nobody claims is lent to the
    first lane that has work. So none is slower than its share for long, and the last never starves.
    """

    def __init__(self, lanes: Sequence[LaneSpec]) -> None:
        """Take the lanes, the most urgent first."""
        self._buffers = {lane.name: _Buffer(lane) for lane in lanes}

    def add(self, lane: str, record: Record[Any]) -> None:
        """Let a record wait in its lane."""
        self._buffers[lane].add(record)

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        """Take at most `capacity` records; what is shed does not count."""
        if capacity:
            self._save_up(capacity)
        batch: list[Record[Any]] = []
        shed: list[Shed] = []
        for guaranteed in (True, False):
            for buffer in self._buffers.values():
                room = capacity - len(batch)
                mine = min(room, int(buffer.credit)) if guaranteed else room
                taken, gone = buffer.take(now, mine)
                buffer.credit = max(buffer.credit - len(taken), _DEBT)
                batch += taken
                shed += gone
        return Scheduled(batch, shed)

    def waiting(self, lane: str) -> int:
        """How many records wait in a lane."""
        return self._buffers[lane].size

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of partitions that others own now."""
        return sum(buffer.drop(partitions) for buffer in self._buffers.values())

    def _save_up(self, capacity: int) -> None:
        busy = [buffer for buffer in self._buffers.values() if buffer.size]
        total = sum(buffer.lane.share for buffer in busy)
        for buffer in self._buffers.values():
            saved = buffer.credit + capacity * buffer.lane.share / max(total, 1)
            buffer.credit = min(saved, max(capacity, 2.0)) if buffer.size else 0.0
