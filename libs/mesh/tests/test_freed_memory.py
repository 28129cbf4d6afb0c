"""Memory that was freed goes back to the machine."""

import subprocess
import sys

import pytest

from mesh.freed_memory import trimmer

_SCRIPT = """
import threading, time
from pathlib import Path
from mesh.freed_memory import returning_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

stop = threading.Event()
blocks = [bytes(1000) for _ in range(100_000)]
kept = blocks[::100]  # 100 KB apart, so that nothing leaves by itself
del blocks
full = resident()
returning_freed_memory(stop, every=0.05)
until = time.monotonic() + 20
while resident() > full - 80e6 and time.monotonic() < until:
    time.sleep(0.05)
stop.set()
print(full - resident(), len(kept))
"""


@pytest.mark.skipif(trimmer() is None, reason="this C library has no malloc_trim")
def test_freed_memory_between_blocks_in_use_is_given_back() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True, timeout=60
    )
    returned, kept = map(int, ran.stdout.split())
    assert kept == 1000
    assert returned > 80e6
