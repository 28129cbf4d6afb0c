"""Open-set identification on LFW: the threshold for FPIR 1 % by gallery size, and what it costs.

Enrolled are persons with one picture (or the mean of several), strangers are everybody else with
one picture; a stranger who gets a name is a false positive identification. Small galleries are
drawn many times and averaged.

    python -m bench.open_set --model omz --data DIR --models DIR

The folder holds `images/lfw/Some_Name_0001.jpg`. Embeddings are cached, so that a second run and
other gallery sizes cost nothing.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from bench.contenders import DEFAULT_PACK
from bench.material import model_registry, model_store
from mesh.events import FaceChip, Point
from recognition.adapters.model_pack import load_embedder
from recognition.domain.calibration import Calibration
from recognition.domain.embedding import Mean, mean_of, unit
from recognition.domain.matching import MatchPolicy, required_similarity
from recognition.ports import FaceEmbedder

EMBEDDERS = {
    "omz": "omz-face-reid-0095",
    "mobilefacenet": "mobilefacenet-ms1m",
    "dlib": "dlib-resnet-v1",
}
FPIR = 0.01
SIZES = (10, 50, 100, 200, 500, 1000, 1559)
DRAWS = 200
AVERAGED = ((1, 1), (1, 3), (3, 1), (2, 2), (3, 3))
"""Samples of an enrolled person and pictures of a probe that are averaged."""
AVERAGED_AT = (100, 300)
_MARGIN, _CHIP_SIDE, _QUALITY = 1.4, 224, 92

Picture = NDArray[np.uint8]
Finder = Callable[[Picture], FaceChip | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the first table: single pictures."""

    enrolled: int
    threshold: float
    fnir: float
    fpir_at_verification: float


@dataclass(frozen=True, slots=True)
class Averaged:
    """One line of the second table: rates at the service's threshold, with and without averages."""

    fpir: float
    fnir: float
    fpir_without: float
    """At the threshold of single pictures."""


def main() -> None:
    """Measure and print two Markdown tables."""
    arguments = _arguments()
    people = _embeddings(arguments)
    verification = _verification_threshold(people)
    sizes = [size for size in SIZES if size <= len(people) * 3 // 4]
    rows = [_measure(people, size, verification) for size in sizes]
    lines = [
        f"{len(people)} people, {sum(map(len, people))} pictures; "
        f"threshold at FAR 1e-3 (1:1): {verification:.3f}",
        "",
        "| enrolled | threshold at FPIR 1 % | FNIR | FPIR at the 1:1 threshold |",
        "|---|---|---|---|",
        *(
            f"| {row.enrolled} | {row.threshold:.3f} | {row.fnir:.1%} "
            f"| {row.fpir_at_verification:.1%} |"
            for row in rows
        ),
        "",
        "| enrolled | samples, pictures averaged | FPIR | FNIR | FPIR at single pictures' |",
        "|---|---|---|---|---|",
    ]
    curve = Calibration(tuple((row.enrolled, row.threshold) for row in rows), floor=-1.0)
    for size in AVERAGED_AT:
        for samples, pictures in AVERAGED:
            found = _average(people, size, samples, pictures, MatchPolicy(calibration=curve))
            lines.append(
                f"| {size} | {samples}, {pictures} | {found.fpir:.1%} | {found.fnir:.1%} "
                f"| {found.fpir_without:.1%} |"
            )
    sys.stdout.write("\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", required=True, help=f"{', '.join(EMBEDDERS)}, or any embedder's model_id"
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("SIGHTLINE_DATA_DIR"))
    parser.add_argument("--models", type=Path, default=os.environ.get("SIGHTLINE_MODELS_DIR"))
    parser.add_argument("--cache", type=Path, help="file that keeps the embeddings (.npz)")
    parser.add_argument("--people", type=int, help="only the first so many people")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or SIGHTLINE_DATA_DIR must name the folder with images/lfw")
    if arguments.model != "dlib" and arguments.models is None:
        parser.error("--models or SIGHTLINE_MODELS_DIR must name the folder with the weights")
    return arguments


def _embeddings(arguments: argparse.Namespace) -> list[NDArray[np.float32]]:
    """Unit vectors by person, people in order of their names, arrays of shape (pictures, dim)."""
    cache: Path | None = arguments.cache
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            return [stored[name] for name in sorted(stored.files)]
    finder, embedder = _pack(arguments)
    by_person: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((arguments.data / "images" / "lfw").glob("*.jpg")):
        by_person[path.stem.rpartition("_")[0]].append(path)
    found: dict[str, NDArray[np.float32]] = {}
    for name in sorted(by_person)[: arguments.people]:
        pictures = (np.asarray(cv2.imread(str(path)), np.uint8) for path in by_person[name])
        chips = [chip for chip in map(finder, pictures) if chip is not None]
        if chips:
            found[name] = embedder.embed(chips)
    if cache is not None:
        np.savez(cache, allow_pickle=False, **found)
    return [found[name] for name in sorted(found)]


def _pack(arguments: argparse.Namespace) -> tuple[Finder, FaceEmbedder]:
    registry = model_registry()
    embedder = registry.model(EMBEDDERS.get(arguments.model, arguments.model))
    folder = arguments.models or Path("var/models")
    store = model_store({**os.environ, "SIGHTLINE_MODELS_DIR": str(folder)})
    pack = replace(registry.pack(DEFAULT_PACK), embedder=embedder)
    finder = (
        _hog()
        if embedder.engine == "dlib"
        else _yunet(folder / "face_detection" / "yunet_2023mar.onnx")
    )
    return finder, load_embedder(pack, store, threads=1)


def _yunet(weights: Path) -> Finder:
    detector = cv2.FaceDetectorYN.create(str(weights), "", (250, 250), 0.6)

    def find(picture: Picture) -> FaceChip | None:
        detector.setInputSize((picture.shape[1], picture.shape[0]))
        _, faces = detector.detect(picture)
        if faces is None:
            return None
        face = _most_central(picture, faces, lambda row: (row[0], row[1], row[2], row[3]))
        return _chip(picture, tuple(face[:4]), face[4:14].reshape(5, 2))

    return find


def _hog() -> Finder:
    detector = dlib.get_frontal_face_detector()

    def find(picture: Picture) -> FaceChip | None:
        boxes = detector(np.ascontiguousarray(picture[:, :, ::-1]), 1)
        if not boxes:
            return None
        box = _most_central(
            picture, boxes, lambda box: (box.left(), box.top(), box.width(), box.height())
        )
        return _chip(picture, (box.left(), box.top(), box.width(), box.height()), np.zeros((5, 2)))

    return find


def _most_central(
    picture: Picture, faces: Any, box_of: Callable[[Any], tuple[float, float, float, float]]
) -> Any:
    def distance(face: Any) -> float:
        x, y, width, height = box_of(face)
        across, down = picture.shape[1] / 2, picture.shape[0] / 2
        return float(abs(x + width / 2 - across) + abs(y + height / 2 - down))

    return min(faces, key=distance)


def _chip(
    picture: Picture, box: tuple[float, ...], landmarks: NDArray[np.float64]
) -> FaceChip | None:
    """A face chip as detection cuts it: square, 40 % margin, at most 224 px, JPEG 4:4:4."""
    x, y, width, height = box
    side = round(max(width, height) * _MARGIN)
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    padded = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REPLICATE)
    crop = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    scale = min(1.0, _CHIP_SIDE / side)
    edge = round(side * scale)
    small = cv2.resize(crop, (edge, edge), interpolation=cv2.INTER_AREA)
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, data = cv2.imencode(".jpg", small, options)
    points = tuple(
        Point(x=float((px - left) * scale), y=float((py - top) * scale)) for px, py in landmarks
    )
    return FaceChip(image=data.tobytes(), width=edge, height=edge, landmarks=points)


def _verification_threshold(people: Sequence[NDArray[np.float32]], far: float = 1e-3) -> float:
    first = np.stack([vectors[0] for vectors in people])
    scores = (first @ first.T)[np.triu_indices(len(first), k=1)]
    return float(np.quantile(scores, 1 - far))


def _measure(people: Sequence[NDArray[np.float32]], size: int, verification: float) -> Row:
    """Draw galleries of one size; enrolled by one picture, probed by another where there is one."""
    several = [index for index, vectors in enumerate(people) if len(vectors) > 1]
    random = np.random.default_rng(size)
    stranger_scores, mates = [], []
    for _ in range(max(3, DRAWS // size * 10)):
        mated = random.choice(several, min(size, len(several)) // 2, replace=False)
        rest = np.setdiff1d(np.arange(len(people)), mated)
        others = random.choice(rest, size - len(mated), replace=False)
        gallery = np.concatenate([mated, others])
        strangers = np.setdiff1d(np.arange(len(people)), gallery)
        templates = unit(np.stack([people[index][0] for index in gallery]))
        probes = np.stack([people[index][0] for index in strangers])
        stranger_scores.append((probes @ templates.T).max(axis=1))
        genuine = np.stack([people[index][1] for index in mated]) @ templates.T
        right = genuine.argmax(axis=1) == np.arange(len(mated))
        mates.append(np.where(right, genuine.max(axis=1), -1.0))
    strange, mate = np.concatenate(stranger_scores), np.concatenate(mates)
    threshold = float(np.quantile(strange, 1 - FPIR))
    return Row(
        enrolled=size,
        threshold=threshold,
        fnir=float((mate < threshold).mean()),
        fpir_at_verification=float((strange >= verification).mean()),
    )


def _average(
    people: Sequence[NDArray[np.float32]],
    size: int,
    samples: int,
    pictures: int,
    policy: MatchPolicy,
) -> Averaged:
    """Draw galleries of averaged samples; probe with averages of other pictures."""
    random = np.random.default_rng(size)
    both = [i for i, vectors in enumerate(people) if len(vectors) >= samples + pictures]
    strange: list[NDArray[np.bool_]] = []
    without: list[NDArray[np.bool_]] = []
    missed: list[NDArray[np.bool_]] = []
    for _ in range(20):
        mated = random.choice(both, min(size // 2, len(both)), replace=False)
        rest = [i for i in range(len(people)) if len(people[i]) >= samples and i not in set(mated)]
        gallery = [*mated, *random.choice(rest, size - len(mated), replace=False)]
        templates = [mean_of(list(people[i][:samples])) for i in gallery]
        enrolled = set(gallery)
        probes = [
            mean_of(list(vectors[:pictures]))
            for i, vectors in enumerate(people)
            if i not in enrolled and len(vectors) >= pictures
        ]
        excess, scores = _excess(probes, templates, policy)
        strange.append(excess.max(axis=1) >= 0)
        without.append(scores.max(axis=1) >= policy.calibration.threshold(size))
        again = [mean_of(list(people[i][samples : samples + pictures])) for i in mated]
        excess, scores = _excess(again, templates, policy)
        right = scores.argmax(axis=1) == np.arange(len(mated))
        missed.append(~right | (excess.max(axis=1) < 0))
    rates = [float(np.concatenate(each).mean()) for each in (strange, missed, without)]
    return Averaged(*rates)


def _excess(
    probes: Sequence[Mean], templates: Sequence[Mean], policy: MatchPolicy
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """By how much each probe exceeds what each template demands, and the similarities."""
    scores = np.stack([one.vector for one in probes]) @ np.stack([t.vector for t in templates]).T
    single = required_similarity(policy, len(templates))
    lengths = np.outer(
        [one.concentration for one in probes], [other.concentration for other in templates]
    )
    return scores - single / np.sqrt(lengths), scores


if __name__ == "__main__":
    main()
