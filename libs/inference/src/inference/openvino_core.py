"""The one OpenVINO core of a process."""

from functools import cache

import openvino


@cache
def process_core() -> openvino.Core:
    """The core that everything in this process compiles with; never released.

    Each core's CPU plugin replaces the signal stack of the thread that loads it, and puts the one
    before back at its end. Of two cores that end in the order of their beginning the second puts
    back the first one's, which is unmapped by then: the next signal ends the process.
    """
    return openvino.Core()
