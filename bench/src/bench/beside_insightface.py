"""Decoded pictures to embeddings on two cores: stock InsightFace, and the product's adapters.

`python -m bench.beside_insightface stock|ours` is one of them in a process of its own, so that
they share nothing but the machine; they take turns. Both have the same files, SCRFD-2.5G and
MobileFaceNet, and the same pictures. InsightFace is used as its manual shows; ours detects, cuts
chips as JPEG, decodes and aligns them, as the mesh does between two services.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from bench.contenders import LONG_SIDE, a_detector, an_embedder
from bench.figures import say
from bench.logs import only_warnings
from bench.loop_process import LoopProcess, serve
from bench.material import Material, material, model_registry, model_store
from bench.pathway import Seen
from detection.domain.chip import GRADES
from detection.domain.face import Picture
from mesh.errors import ConfigurationError
from mesh.models import ModelStore

DETECTOR, EMBEDDER = "scrfd-2.5g", "mobilefacenet-ms1m"
CORES = 2
ROUNDS, FRAMES = 5, 60
_PICTURES = 64

Loop = Callable[[Picture], int]
"""Works on one picture and tells how many faces it has."""


def measure(store: ModelStore, where: Material) -> dict[str, Any]:
    """Frames per second of both, in turns.

    Raises:
        ConfigurationError: InsightFace is not installed, or a model is not at hand.
    """
    if find_spec("insightface") is None:
        raise ConfigurationError("insightface is not installed (extra bench[insightface])")
    models = model_registry().models
    for name in (DETECTOR, EMBEDDER):
        if name not in models:
            raise ConfigurationError(f"this registry has no model {name}")
        store.locate(models[name])
    rounds: dict[str, list[dict[str, Any]]] = {"stock": [], "ours": []}
    with (
        LoopProcess(["-m", "bench.beside_insightface", "stock"]) as stock,
        LoopProcess(["-m", "bench.beside_insightface", "ours"]) as ours,
    ):
        for _ in range(ROUNDS):
            rounds["stock"].append(stock.run(FRAMES))
            rounds["ours"].append(ours.run(FRAMES))
    pairs = zip(rounds["ours"], rounds["stock"], strict=True)
    found = {
        "ratio": round(median(one["fps"] / other["fps"] for one, other in pairs), 3),
        **{
            f"{name}_{figure}": round(median(one[figure] for one in answers), 2)
            for name, answers in rounds.items()
            for figure in ("fps", "faces")
        },
        "models": [DETECTOR, EMBEDDER],
        "pictures": where.clip.name,
        "cores": CORES,
    }
    say(f"stock {found['stock_fps']} frames/s, ours {found['ours_fps']}")
    return found


def main() -> None:
    """Serve one of the two loops."""
    only_warnings()
    pictures = _pictures(material())
    if sys.argv[1] == "stock":
        with tempfile.TemporaryDirectory() as folder:
            stock = _stock(Path(folder), model_store())
            serve(lambda frames: _timed(frames, pictures, [stock]))
    else:
        loops = [_ours(model_store()) for _ in range(CORES)]
        serve(lambda frames: _timed(frames, pictures, loops))


def _pictures(where: Material) -> list[Picture]:
    encoded = where.pictures()
    places = np.linspace(0, len(encoded) - 1, _PICTURES).round().astype(int)
    return [
        np.asarray(cv2.imdecode(np.frombuffer(encoded[place], np.uint8), 1), np.uint8)
        for place in places
    ]


def _timed(frames: int, pictures: Sequence[Picture], loops: Sequence[Loop]) -> dict[str, Any]:
    """The loops share the frames, each in a thread of its own."""
    work = [pictures[index % len(pictures)] for index in range(frames)]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(loops)) as threads:
        parts = [work[number :: len(loops)] for number in range(len(loops))]
        faces = sum(threads.map(lambda loop, part: sum(map(loop, part)), loops, parts))
    return {"fps": frames / (time.perf_counter() - began), "faces": faces / frames}


def _stock(folder: Path, store: ModelStore) -> Loop:
    """`FaceAnalysis` as its manual shows it: both cores, letterbox of 640 x 640."""
    analysis = import_module("insightface.app").FaceAnalysis  # an extra, without types
    models = model_registry().models
    pack = folder / "models" / "stock"
    pack.mkdir(parents=True)
    for name in (DETECTOR, EMBEDDER):
        [path] = store.locate(models[name]).values()
        (pack / path.name).symlink_to(path)
    with redirect_stdout(sys.stderr):  # it prints what it loads, and stdout carries our answers
        app = analysis(name="stock", root=str(folder), providers=["CPUExecutionProvider"])
        app.prepare(ctx_id=-1, det_size=(LONG_SIDE, LONG_SIDE))
    return lambda picture: len(app.get(picture))


def _ours(store: ModelStore) -> Loop:
    """The adapters of both services with one thread each; one loop per core."""
    detector = a_detector(DETECTOR, store)
    embedder = an_embedder(EMBEDDER, store)

    def loop(picture: Picture) -> int:
        [faces] = detector.detect([picture])
        chips = [Seen(picture, face).chip(GRADES[0]) for face in faces]
        return len(embedder.embed(chips))

    return loop


if __name__ == "__main__":
    main()
