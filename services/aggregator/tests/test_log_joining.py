"""What the aggregator logs about a frame carries the frame's trace."""

import io
import json
from dataclasses import replace

from mesh.logs import configure_logs
from mesh.settings import MeshSettings

from .test_aggregation import Bench, a_raw

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_poisoned_frame_is_logged_with_its_trace() -> None:
    out = io.StringIO()
    configure_logs("aggregator", MeshSettings(instance_id="aggregator-0"), out)
    bench = Bench()

    poison = replace(a_raw(0, frame_id="poison"), headers={"traceparent": PARENT})
    await bench.take_raw(poison)

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event_type"] == "frame_poisoned"]
    assert line["trace_id"] == PARENT[3:35].decode()
    assert line["span_id"] == PARENT[36:52].decode()
