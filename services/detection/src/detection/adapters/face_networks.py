"""Small networks that say one thing of a face: living, open eyes, pose of the head, age."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.domain.age import age_group
from detection.domain.crops import Square, eye_squares, inside
from detection.domain.face import EyeState, Image, Picture, RawFace, pixels
from detection.ports import FaceView, ModelInfo
from inference.engine import Engine, Outputs
from mesh.events import AgeGender, BoundingBox, Liveness, Point, Pose
from mesh.models import InputSpec

Reading = TypeVar("Reading")
Row = dict[str, NDArray[np.float32]]
"""The outputs for one cut, flattened."""

Cut = Callable[[FaceView, InputSpec], Sequence[Picture]]
"""The cuts that a network is to see of a face, BGR, of the size that it takes."""

AT_ONCE = 64
"""Faces per call of an engine, at most: what a crowd takes in memory has a bound."""


@dataclass(frozen=True, slots=True)
class Network:
    """An engine, and how a picture becomes its input."""

    engine: Engine
    shape: InputSpec


class FaceNetwork(Generic[Reading]):
    """Cuts faces, runs networks on them, and reads what they say."""

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        info: ModelInfo,
        cut: Cut,
        read: Callable[[Sequence[Row]], Reading],
    ) -> None:
        """Take the engines, and look once at what they put out.

        Args:
            networks: one, or several whose outputs are read together.
            info: what is known of the model.
            cut: what a network sees of a face; every face gives as many cuts.
            read: makes a reading of the outputs of one face: by network, then by cut.

        Raises:
            KeyError: an output is missing.
            EngineError: a network refuses its own kind of input.
        """
        self.info = info
        self._networks = networks
        self._cut = cut
        self._read = read
        self.warm_up()

    def read(self, faces: Sequence[FaceView]) -> list[Reading]:
        """What the networks say of each face.

        Raises:
            EngineError: an engine refused one of the faces.
        """
        readings: list[Reading] = []
        for start in range(0, len(faces), AT_ONCE):
            part = faces[start : start + AT_ONCE]
            rows = [self._run(network, part) for network in self._networks]
            readings += [
                self._read([row for network in rows for row in network[index]])
                for index in range(len(part))
            ]
        return readings

    def warm_up(self) -> None:
        """Run once on an empty face."""
        self.read([empty_view()])

    def _run(self, network: Network, faces: Sequence[FaceView]) -> list[list[Row]]:
        """The outputs of a network by face and cut."""
        cuts = [self._cut(face, network.shape) for face in faces]
        batch = np.stack([_planes(cut, network.shape) for face in cuts for cut in face])
        outputs = network.engine.run(batch)
        rows = [_row(outputs, index) for index in range(len(batch))]
        each = len(cuts[0])
        return [rows[start : start + each] for start in range(0, len(rows), each)]


def liveness(networks: Sequence[Network], info: ModelInfo) -> FaceNetwork[Liveness]:
    """MiniFASNet (Silent-Face-Anti-Spoofing): the mean of its networks; class 1 is a real face."""

    def read(rows: Sequence[Row]) -> Liveness:
        shares = [softmax(only(row))[1] for row in rows]
        return Liveness(score=float(np.mean(shares)), model_id=info.model_id)

    return FaceNetwork(networks, info=info, cut=surroundings, read=read)


def eye_state(networks: Sequence[Network], info: ModelInfo) -> FaceNetwork[EyeState]:
    """open-closed-eye-0001: index 1 is open. The person's right eye is left in the picture.

    Its own softmax overflows where it is sure: no number means 1.
    """

    def read(rows: Sequence[Row]) -> EyeState:
        right, left = (float(softmax(np.nan_to_num(only(row), nan=1.0))[1]) for row in rows)
        return EyeState(left_open=left, right_open=right)

    return FaceNetwork(networks, info=info, cut=eyes, read=read)


def head_pose(networks: Sequence[Network], info: ModelInfo) -> FaceNetwork[Pose]:
    """head-pose-estimation-adas-0001, degrees; its pitch has the opposite sign of ours.

    On LFW its yaw follows that of the five landmarks with correlation 0.95, and its negative pitch
    the tilt of the dense landmarks with 0.79.
    """

    def read(rows: Sequence[Row]) -> Pose:
        (row,) = rows
        yaw, pitch, roll = (float(row[f"angle_{angle}_fc"][0]) for angle in "ypr")
        return Pose(yaw=yaw, pitch=-pitch, roll=roll)

    return FaceNetwork(networks, info=info, cut=surroundings, read=read)


def age_gender(networks: Sequence[Network], info: ModelInfo) -> FaceNetwork[AgeGender]:
    """age-gender-recognition-retail-0013: age in hundreds of years; female, male."""

    def read(rows: Sequence[Row]) -> AgeGender:
        (row,) = rows
        by_size = sorted(row.values(), key=lambda value: value.size)
        years, (female, male) = float(by_size[0][0]) * 100.0, by_size[1].tolist()
        return AgeGender(
            age_group=age_group(years),
            gender="female" if female >= male else "male",
            gender_confidence=max(female, male),
            model_id=info.model_id,
        )

    return FaceNetwork(networks, info=info, cut=surroundings, read=read)


def empty_view() -> FaceView:
    """A black picture of 112 px with a face in its middle, to warm models up with."""
    eyes = (Point(x=40, y=45), Point(x=72, y=45), Point(x=56, y=62))
    face = RawFace(
        box=BoundingBox(x1=20, y1=16, x2=92, y2=96),
        confidence=1.0,
        landmarks=(*eyes, Point(x=43, y=80), Point(x=69, y=80)),
    )
    return FaceView(np.zeros((112, 112, 3), np.uint8), face)


def surroundings(view: FaceView, shape: InputSpec) -> list[Picture]:
    """The box grown by the network's `crop`, stretched to its input."""
    height, width = view.image.shape[:2]
    box = inside(view.face.box, shape.crop, width=width, height=height)
    x1, y1 = int(box.x1), int(box.y1)
    x2, y2 = max(round(box.x2), x1 + 1), max(round(box.y2), y1 + 1)
    scaled: Picture = cv2.resize(pixels(view.image)[y1:y2, x1:x2], (shape.width, shape.height))
    return [scaled]


def eyes(view: FaceView, shape: InputSpec) -> list[Picture]:
    """Both eyes turned upright, the one on the left of the picture first."""
    return [turned(view.image, square, shape.width) for square in eye_squares(view.face)]


def turned(image: Image, square: Square, size: int) -> Picture:
    """The square as an upright picture of `size` by `size` pixels; black beyond the edges."""
    cut: Picture = cv2.warpAffine(
        pixels(image), square.onto(size), (size, size), flags=cv2.INTER_LINEAR
    )
    return cut


def softmax(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities of logits; what already adds up to 1 without negatives is left as it is."""
    wide = values.astype(np.float64)
    if (wide >= 0).all() and abs(wide.sum() - 1.0) < 1e-3:
        return wide
    powers: NDArray[np.float64] = np.exp(wide - wide.max())
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


def only(row: Row) -> NDArray[np.float32]:
    """The first output of a network."""
    return next(iter(row.values()))


def _row(outputs: Outputs, index: int) -> Row:
    return {name: value[index].ravel() for name, value in outputs.items()}


def _planes(cut: Picture, shape: InputSpec) -> NDArray[np.float32]:
    ordered = cut[:, :, ::-1] if shape.colour == "RGB" else cut
    mean, scale = np.asarray(shape.mean, np.float32), np.asarray(shape.scale, np.float32)
    planes: NDArray[np.float32] = ((ordered.astype(np.float32) - mean) / scale).transpose(2, 0, 1)
    return planes
