"""Wrong colours and wrong alignment raise no error, they only make people less like themselves.

With labelled people and the models' files the right way is told from the wrong one: people are
farther apart the right way. Without them the pack that needs no files must still notice a face
that is not where it is expected (its colours: `test_embedders` of recognition).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from bench.contenders import FUSED, Contender, lineup
from bench.material import model_store
from bench.pathway import look
from detection.domain.chip import GRADES
from detection.domain.face import Picture
from mesh.events import FaceChip, Point

PEOPLE = "images/krasserm_lfw100"
OTHER_SIDE = (1, 0, 2, 4, 3)
PICTURES = 5

Change = Callable[[FaceChip], FaceChip]


def pixels_of(chip: FaceChip) -> Picture:
    decoded = cv2.imdecode(np.frombuffer(chip.image, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)


def png(pixels: Picture) -> bytes:
    return bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1])


def swapped_colours(chip: FaceChip) -> FaceChip:
    return replace(chip, image=png(pixels_of(chip)[:, :, ::-1]))


def mirrored_template(chip: FaceChip) -> FaceChip:
    return replace(chip, landmarks=tuple(chip.landmarks[place] for place in OTHER_SIDE))


def moved_template(chip: FaceChip) -> FaceChip:
    off = 0.12 * chip.width
    return replace(
        chip, landmarks=tuple(Point(x=one.x + off, y=one.y - off) for one in chip.landmarks)
    )


def moved_face(chip: FaceChip) -> FaceChip:
    off = chip.width // 4
    return replace(chip, image=png(np.roll(pixels_of(chip), (-off, off), axis=(0, 1))))


def the_chip(contender: Contender, picture: Picture) -> FaceChip:
    seen = look(contender.detector, picture)
    assert seen is not None
    return seen.chip(GRADES[0])


def separation(vectors: NDArray[np.float32], persons: NDArray[np.int64]) -> float:
    """How far pairs of one person lie above pairs of two, in their common spread."""
    above = np.triu_indices(len(persons), 1)
    scores = (vectors @ vectors.T)[above]
    same = (persons[:, None] == persons[None])[above]
    genuine, strange = scores[same], scores[~same]
    spread = np.sqrt((genuine.var() + strange.var()) / 2)
    return float((genuine.mean() - strange.mean()) / spread)


def unchanged(chip: FaceChip) -> FaceChip:
    """The same chip, decoded and encoded again without loss."""
    return replace(chip, image=png(pixels_of(chip)))


@pytest.fixture(scope="module", params=FUSED)
def contender(request: pytest.FixtureRequest) -> Contender:
    found = lineup(model_store(), threads=1, only=[request.param])
    if not found.contenders:
        pytest.skip(found.absent[request.param])
    return found.contenders[0]


@pytest.fixture(scope="module")
def persons() -> Sequence[Sequence[Path]]:
    data = os.environ.get("SIGHTLINE_DATA_DIR")
    if data is None:
        pytest.skip("SIGHTLINE_DATA_DIR is not set: no labelled people here")
    folders = sorted(path for path in (Path(data) / PEOPLE).iterdir() if path.is_dir())
    return [sorted(folder.glob("*.jp*g"))[:PICTURES] for folder in folders]


@pytest.fixture(scope="module")
def chips(contender: Contender, persons: Sequence[Sequence[Path]]) -> list[FaceChip]:
    return [
        the_chip(contender, np.asarray(cv2.imread(str(path)), np.uint8))
        for person in persons
        for path in person
    ]


@pytest.fixture(scope="module")
def dlib_pack() -> Contender:
    [found] = lineup(model_store({}), threads=1, only=["dlib-resnet-v1"]).contenders
    return found


def test_people_are_farthest_apart_with_the_right_colours_and_the_right_template(
    contender: Contender, chips: list[FaceChip], persons: Sequence[Sequence[Path]]
) -> None:
    whose = np.repeat(np.arange(len(persons)), [len(person) for person in persons])

    def apart(change: Change) -> float:
        return separation(contender.embedder.embed([change(chip) for chip in chips]), whose)

    right = apart(lambda chip: chip)
    assert apart(swapped_colours) < 0.95 * right
    assert apart(moved_template) < 0.5 * right
    assert apart(mirrored_template) < 0.1 * right


def test_a_person_is_less_like_himself_when_one_picture_is_taken_wrongly(
    contender: Contender, chips: list[FaceChip]
) -> None:
    first, second = chips[::PICTURES], chips[1::PICTURES]
    gallery = contender.embedder.embed(first)

    def likeness(change: Change) -> float:
        probes = contender.embedder.embed([change(chip) for chip in second])
        return float((gallery * probes).sum(axis=1).mean())

    right = likeness(lambda chip: chip)
    assert likeness(swapped_colours) < right - 0.02
    assert likeness(moved_template) < right - 0.3
    assert likeness(mirrored_template) < right - 0.5


def test_a_face_that_is_not_in_the_middle_of_its_chip_is_somebody_else(
    dlib_pack: Contender,
) -> None:
    place = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    portraits = [skimage.data.astronaut()[:, :, ::-1], cv2.imread(str(place))]
    chips = [the_chip(dlib_pack, np.ascontiguousarray(picture, np.uint8)) for picture in portraits]

    right = dlib_pack.embedder.embed([unchanged(chip) for chip in chips])
    wrong = dlib_pack.embedder.embed([moved_face(chip) for chip in chips])

    likeness = (dlib_pack.embedder.embed(chips) * right).sum(axis=1)
    assert likeness.min() > 0.999
    assert (right * wrong).sum(axis=1).max() < 0.925
