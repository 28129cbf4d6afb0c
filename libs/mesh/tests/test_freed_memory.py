"""Memory that was freed goes back to the machine."""

import subprocess
import sys

import pytest

from mesh.freed_memory import trimmer

_TRIM_SCRIPT = """
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

_THREADS_SCRIPT = """
import ctypes, re, sys, threading
from pathlib import Path
from mesh.freed_memory import share_one_arena

if sys.argv[1:] == ["shared"]:
    share_one_arena()
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_size_t
given = []
together = threading.Barrier(4)

def allocate():
    together.wait()
    given.append(malloc(ctypes.c_size_t(5000)))

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
heap = re.search(r"^(\\w+)-(\\w+) .*\\[heap]$", Path("/proc/self/maps").read_text(), re.MULTILINE)
print(sum(int(heap[1], 16) <= at < int(heap[2], 16) for at in given))
"""

glibc = pytest.mark.skipif(trimmer() is None, reason="this C library is not glibc")


def run(script: str, *arguments: str) -> list[int]:
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [int(word) for word in ran.stdout.split()]


@glibc
def test_freed_memory_between_blocks_in_use_is_given_back() -> None:
    returned, kept = run(_TRIM_SCRIPT)
    assert kept == 1000
    assert returned > 80e6


@glibc
def test_threads_share_one_arena_where_they_are_told_to() -> None:
    assert run(_THREADS_SCRIPT, "shared") == [4]
    assert run(_THREADS_SCRIPT)[0] < 4
