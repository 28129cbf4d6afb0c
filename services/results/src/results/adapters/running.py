"""Loops of one process that live and end together."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from mesh.process import Process


def run_all(loops: Sequence[Callable[[], None]], process: Process) -> None:
    """Run every loop in a thread of its own; the first that ends stops the others."""
    with ThreadPoolExecutor(len(loops)) as pool:
        running = [pool.submit(loop) for loop in loops]
        wait(running, return_when=FIRST_COMPLETED)
        process.stop.set()
        for loop in running:
            loop.result()
