"""The cameras' states in a Faust table: RocksDB here, a changelog topic for whoever comes next."""

import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import faust
from faust.streams import _current_event
from faust.types.tuples import Message

from aggregator.adapters.state_codec import EncodedState, StateCodec
from aggregator.domain.state import CameraState

_DECODED = 2048
"""Cameras whose decoded state is kept; the rest is decoded at each record."""
_STORE = {"write_buffer_size": 2 * 2**20, "max_write_buffer_number": 2, "block_cache_size": 2**23}
"""Bytes per partition, standby copies included.

Every write is a new copy of a state in RocksDB's buffer. Faust's own limits, 64 MiB a buffer and a
cache of 2 GiB, are for one large table, not for many partitions of a few megabytes.
"""


class CameraTable:
    """Loads and saves states by camera_id, within the partition of the record in hand.

    Args:
        app: The Faust application.
        codec: States to bytes and back.
        source: Topic whose partitions the table shares.
        partitions: How many that are.
        config: Settings of the changelog topic.
    """

    def __init__(
        self,
        app: faust.App,
        codec: StateCodec,
        *,
        source: str,
        partitions: int,
        config: dict[str, str],
    ) -> None:
        self._app = app
        self._codec = codec
        self._source = source
        self._decoded: OrderedDict[str, EncodedState] = OrderedDict()
        self.table = app.Table(
            "cameras",
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            extra_topic_configs=config,
            options=dict(_STORE),
        )

    def load(self, camera_id: str) -> CameraState:
        """The camera's state; the empty one if it is new."""
        data = self.table.data.get(camera_id.encode())
        return CameraState() if data is None else self._decode(camera_id, data)

    def save(self, camera_id: str, state: CameraState) -> Awaitable[object]:
        """Store the state; await the result to know that the changelog has it."""
        key = camera_id.encode()
        encoded = self._codec.encode(state, self._decoded.get(camera_id))
        partition = self.table.partition_for_key(key)
        self.table.data[key] = encoded.data
        self._remember(camera_id, encoded)
        return self.table.send_changelog(partition, key, encoded.data)  # type: ignore[no-any-return]  # untyped

    def forget(self, camera_id: str) -> Awaitable[object]:
        """Delete the state; await the result to know that the changelog has its tombstone."""
        key = camera_id.encode()
        partition = self.table.partition_for_key(key)
        del self.table.data[key]
        self._decoded.pop(camera_id, None)
        return self.table.send_changelog(partition, key, None)  # type: ignore[no-any-return]  # untyped

    def items(self) -> Iterator[tuple[str, CameraState]]:
        """Every camera of the partitions that this process owns, with its state."""
        for key, data in self.table.data.items():
            yield key.decode(), self._codec.decode(data)

    @contextmanager
    def acting_in(self, partition: int) -> Iterator[None]:
        """Load and save without a record in hand; Faust takes the partition from a current one."""
        message = Message(self._source, partition, -1, 0.0, 0, [], None, None, None)
        event = faust.Event(self._app, None, None, {}, message)
        token = _current_event.set(weakref.ref(event))
        try:
            yield
        finally:
            _current_event.reset(token)

    def _decode(self, camera_id: str, data: bytes) -> CameraState:
        known = self._decoded.get(camera_id)
        if known is None or known.data != data:
            known = EncodedState(self._codec.decode(data), data)
        self._remember(camera_id, known)
        return known.state

    def _remember(self, camera_id: str, encoded: EncodedState) -> None:
        self._decoded[camera_id] = encoded
        self._decoded.move_to_end(camera_id)
        if len(self._decoded) > _DECODED:
            self._decoded.popitem(last=False)
