"""The bare loop: the mesh's work without the mesh, in one process, to compare with.

Decode, detect, align, embed, search; the engines may use two threads. It runs as a process of its
own that waits until it is asked: `python -m bench.bare PERSONS` reads a number of frames from each
line of its input and answers each with a line of JSON.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.logs import only_warnings
from bench.loop_process import LoopProcess, serve
from bench.material import Material, material, model_registry
from detection.adapters.engines import load_detector
from inference.openvino_core import process_core
from mesh.models import ModelStore
from recognition.domain.alignment import OMZ_128, similarity_transform

PACK = "yunet-omz"
_THREADS = 2
_WARM_UP = 20


class BareLoop:
    """The loop over pictures in memory; keeps the time of each step.

    Args:
        where: Pictures and models.
        persons: Templates to search.
        threads: Of each engine.
    """

    def __init__(self, where: Material, persons: int, threads: int = _THREADS) -> None:
        pack, store = (
            model_registry().pack(PACK),
            ModelStore(folder=where.models, cache=where.models),
        )
        self._detector = load_detector(pack, store, long_side=640, threads=threads, max_batch=1)
        files = {path.suffix: path for path in store.locate(pack.embedder).values()}
        core = process_core()
        self._embedder = core.compile_model(
            core.read_model(files[".xml"], files[".bin"]),
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
        ).create_infer_request()
        gallery = np.random.default_rng(0).normal(size=(persons, pack.embedder.embedding_size or 0))
        self._gallery = _unit(gallery.astype(np.float32))
        self._pictures = where.pictures()

    def run(self, frames: int) -> dict[str, Any]:
        """Work on so many frames; figures of the run."""
        spent: dict[str, float] = defaultdict(float)
        faces = 0
        began, cpu = time.perf_counter(), time.process_time()
        for index in range(frames):
            faces += self._frame(self._pictures[index % len(self._pictures)], spent)
        seconds = time.perf_counter() - began
        return {
            "frames": frames,
            "fps": frames / seconds,
            "faces": faces / frames,
            "cpu_ms": 1000 * (time.process_time() - cpu) / frames,
            "steps_ms": {step: 1000 * value / frames for step, value in spent.items()},
        }

    def _frame(self, data: bytes, spent: dict[str, float]) -> int:
        with _timed(spent, "decode"):
            picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), 1), np.uint8)
        with _timed(spent, "detect"):
            [faces] = self._detector.detect([picture])
        for face in faces:
            with _timed(spent, "align"):
                points = np.array([(point.x, point.y) for point in face.landmarks])
                matrix = similarity_transform(points, OMZ_128.array())
                aligned = cv2.warpAffine(picture, matrix, (OMZ_128.size, OMZ_128.size))
            with _timed(spent, "embed"):
                tensor = np.ascontiguousarray(aligned.transpose(2, 0, 1)[None], dtype=np.float32)
                vector = _unit(np.array(self._embedder.infer({0: tensor})[0]).reshape(-1))
            with _timed(spent, "search"):
                int((self._gallery @ vector).argmax())
        return len(faces)


class BareProcess(LoopProcess):
    """The loop in a process of its own, idle until `run`; a context manager."""

    def __init__(self, persons: int) -> None:
        super().__init__(["-m", "bench.bare", str(persons)], warm_up=_WARM_UP)


@contextmanager
def _timed(spent: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    spent[step] += time.perf_counter() - began


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result


def main() -> None:
    """Serve runs until the input ends."""
    only_warnings()
    loop = BareLoop(material(), int(sys.argv[1]))
    serve(loop.run)


if __name__ == "__main__":
    main()
