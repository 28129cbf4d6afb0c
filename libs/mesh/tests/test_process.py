import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration
SERVICE = """
import threading
import mesh.process
from mesh.settings import MeshSettings

class Client:
    def __del__(self):
        threading.Event().wait()

def body(settings, process):
    global client
    client = Client()
    raise RuntimeError("the broker keeps it out")

mesh.process._EXIT_SECONDS = 1
mesh.process.run_service("hanging", MeshSettings, body)
"""


def test_a_client_that_hangs_at_the_end_does_not_keep_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVICE], capture_output=True, text=True, timeout=60, check=False
    )
    assert "the broker keeps it out" in done.stdout
    assert done.returncode == -signal.SIGALRM
