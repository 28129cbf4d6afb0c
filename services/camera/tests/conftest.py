"""What several tests of the camera service need: a clip, a stage, settings of hypothesis."""

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import av
import hypothesis
import numpy as np
import pytest
from services.camera.tests.doubles import Setting

from camera.stage import CameraStage

hypothesis.settings.register_profile("camera", max_examples=60, deadline=None)
hypothesis.settings.load_profile("camera")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 160 x 96 pixels at ten a second, each brighter than the one before."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = 10
        stream.codec_context.max_b_frames = 0
        stream.codec_context.time_base = Fraction(1, 10)
        for index in range(20):
            pixels = np.full((96, 160, 3), 20 + 10 * index, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with sound and no picture."""
    path = tmp_path_factory.mktemp("clips") / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = np.zeros((1, 800), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.fixture
async def stage(setting: Setting) -> AsyncIterator[CameraStage]:
    """A stage that knows its (empty) registry and owns partition 0, where every camera is."""
    made = CameraStage(setting.parts(), partition_of=lambda _: 0)
    made.assigned([0])
    made.registry_known()
    yield made
    made.stop()
    await asyncio.sleep(0)
