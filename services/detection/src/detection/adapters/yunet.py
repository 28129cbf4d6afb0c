"""YuNet 2023mar on onnxruntime."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from detection.domain import yunet
from detection.domain.face import Picture, RawFace
from detection.domain.letterbox import Letterbox, fit
from detection.ports import EngineError, ModelInfo
from mesh.errors import ConfigurationError

CONFIDENCE = 0.6
OVERLAP = 0.3

_REFUSALS = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


class YuNetDetector:
    """Finds faces with YuNet; takes BGR 0 to 255 at any size that is a multiple of 32.

    Pictures that fit the same letterbox share a run of the network.
    """

    def __init__(
        self, model: Path, *, info: ModelInfo, long_side: int = 640, threads: int = 1
    ) -> None:
        """Load the network.

        Args:
            model: ONNX file with dynamic batch, height and width.
            info: what is known of it.
            long_side: pictures are scaled down to this, pixels.
            threads: that one run may use.

        Raises:
            ConfigurationError: the file is not this network.
        """
        self.info = info
        self._long_side = long_side
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin cost five times the work itself at 20 frames a second.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # refusals are raised, not printed
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except _REFUSALS as error:
            raise ConfigurationError(f"{model.name} cannot be loaded: {error}") from error
        self._input = self._session.get_inputs()[0].name
        if not set(yunet.OUTPUTS) <= {output.name for output in self._session.get_outputs()}:
            raise ConfigurationError(f"{model.name} is not YuNet 2023mar: its outputs differ")

    def detect(
        self, images: Sequence[Picture], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, most confident first.

        Args:
            images: any sizes.
            long_side: pictures are scaled down to this, pixels; none means the setting's.

        Raises:
            EngineError: onnxruntime refused one of the pictures.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        boxes = [
            fit(image.shape[1], image.shape[0], long_side or self._long_side) for image in images
        ]
        for index, box in enumerate(boxes):
            groups[box.height, box.width].append(index)
        found: list[list[RawFace]] = [[] for _ in images]
        for members in groups.values():
            heads = self._run(_stack([images[i] for i in members], [boxes[i] for i in members]))
            for row, index in enumerate(members):
                found[index] = yunet.decode(
                    {name: values[row] for name, values in heads.items()},
                    boxes[index],
                    confidence=CONFIDENCE,
                    overlap=OVERLAP,
                )
        return found

    def warm_up(self) -> None:
        """Run once on an empty picture of the usual shape."""
        side = self._long_side
        self.detect([np.zeros((side * 9 // 16, side, 3), np.uint8)])

    def _run(self, frames: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        try:
            values = self._session.run(yunet.OUTPUTS, {self._input: frames})
        except _REFUSALS as error:
            raise EngineError(f"onnxruntime: {error}") from error
        return {
            name: value.reshape(len(frames), -1, value.shape[-1])
            for name, value in zip(yunet.OUTPUTS, values, strict=True)
        }


def _stack(images: Sequence[Picture], boxes: Sequence[Letterbox]) -> NDArray[np.float32]:
    """The pictures in their letterboxes, which have one size: (n, 3, height, width)."""
    frames = np.zeros((len(images), 3, boxes[0].height, boxes[0].width), np.float32)
    for frame, image, box in zip(frames, images, boxes, strict=True):
        size = (box.content_width, box.content_height)
        same = image.shape[1::-1] == size
        try:
            scaled = image if same else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            for plane, channel in zip(frame, cv2.split(scaled), strict=True):
                plane[: box.content_height, : box.content_width] = channel
        except (cv2.error, ValueError) as error:
            raise EngineError(
                f"a picture of shape {image.shape} cannot be used: {error}"
            ) from error
    return frames
