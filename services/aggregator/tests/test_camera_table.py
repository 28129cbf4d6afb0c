"""What a camera's state costs where it is kept."""

from pathlib import Path
from typing import Any

import faust
import pytest

from aggregator.adapters.camera_table import CameraTable
from aggregator.adapters.state_codec import StateCodec
from mesh.schemas import SchemaLibrary

MIB = 2**20
STATE = bytes(64 * 1024)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    app = faust.App("aggregator", store="rocksdb://", datadir=tmp_path)
    codec = StateCodec(SchemaLibrary.packaged())
    table = CameraTable(app, codec, source="recognitions", partitions=4, config={}).table
    return table.data


def test_a_partition_keeps_few_of_its_writes_in_memory(store: Any) -> None:
    partition = store._open_for_partition(0)

    for number in range(512):
        partition.put(b"cam-%d" % (number % 4), STATE)

    held = partition.property_int_value("rocksdb.size-all-mem-tables")
    assert 0 < held < 8 * MIB
    assert partition.get(b"cam-3") == STATE
