"""MediaPipe's face landmarker on OpenVINO, which reads the tflite files of the bundle."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.adapters.face_networks import empty_view, turned
from detection.domain.crops import Square, mesh_square
from detection.domain.face_mesh import POINTS, SHAPE_POINTS, SHAPES, Coordinates, FaceMesh
from detection.ports import FaceView, ModelInfo
from inference.engine import EngineError, EngineInfo
from inference.openvino_core import process_core
from mesh.errors import ConfigurationError

LANDMARKS = "face_landmarks_detector.tflite"
BLENDSHAPES = "face_blendshapes.tflite"
ENGINE = EngineInfo(engine="openvino", device="CPU", precision="f32")
INPUT_SIDE = 256
"""Of the landmark network's input, pixels: RGB, 0 to 1, channels last."""


class FaceLandmarker:
    """478 points and 52 blendshapes of a face: two networks, one face at a time."""

    def __init__(self, bundle: Path, *, info: ModelInfo, threads: int = 1) -> None:
        """Load both networks.

        Args:
            bundle: `face_landmarker.task`, a zip of tflite files.
            info: what is known of the model.
            threads: that one run may use.

        Raises:
            ConfigurationError: the file is no such bundle.
        """
        self.info = info
        try:
            with ZipFile(bundle) as zipped, tempfile.TemporaryDirectory() as folder:
                self._points, self._shapes = (
                    _compiled(zipped.extract(name, folder), threads)
                    for name in (LANDMARKS, BLENDSHAPES)
                )
            self.warm_up()
        except (BadZipFile, KeyError, RuntimeError, EngineError) as error:
            raise ConfigurationError(f"{bundle.name} is no face landmarker: {error}") from error

    def read(self, faces: Sequence[FaceView]) -> list[FaceMesh]:
        """The mesh of each face.

        Raises:
            EngineError: OpenVINO refused one of the faces.
        """
        try:
            return [self._mesh(view) for view in faces]
        except (RuntimeError, StopIteration, cv2.error) as error:
            raise EngineError(f"OpenVINO: {error}") from error

    def warm_up(self) -> None:
        """Run once on an empty face."""
        self.read([empty_view()])

    def _mesh(self, view: FaceView) -> FaceMesh:
        square = mesh_square(view.face)
        cut = turned(view.image, square, INPUT_SIDE)[None, :, :, ::-1].astype(np.float32) / 255.0
        found = _output(self._points, np.ascontiguousarray(cut), 3 * POINTS)
        points = back(found.reshape(POINTS, 3), square)
        chosen = np.ascontiguousarray(points[list(SHAPE_POINTS), :2][None], np.float32)
        return FaceMesh(points, _output(self._shapes, chosen, SHAPES))


def back(points: NDArray[np.float32], square: Square) -> Coordinates:
    """Points of a cut of `INPUT_SIDE` pixels in pixels of the picture.

    Args:
        points: float32, shape (n, 3); depths are scaled alone.
        square: that was cut.
    """
    turn = square.onto(INPUT_SIDE)
    inverse = np.linalg.inv(turn[:, :2])
    places = (points[:, :2] - turn[:, 2]) @ inverse.T
    depths = points[:, 2:] * (square.side / INPUT_SIDE)
    return np.concatenate([places, depths], axis=1).astype(np.float32)


def _compiled(path: str, threads: int) -> Any:
    core = process_core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": ENGINE.precision,
    }
    return core.compile_model(core.read_model(path), "CPU", settings)


def _output(network: Any, values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The output of this size, flattened; a network of the bundle has one."""
    outputs = network([values])
    return next(
        np.array(value, np.float32).ravel() for value in outputs.values() if value.size == size
    )
