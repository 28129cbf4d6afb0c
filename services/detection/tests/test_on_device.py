"""Pictures that stay on a device, on torch's CPU device; CUDA itself is for machines that have it.

The same contracts as on the host, and the same pixels and faces within the stated tolerances.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Never, TypeVar

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from services.detection.tests.test_cutters import FaceCutterContract, a_view, decoded
from services.detection.tests.test_face_detector import (
    RealDetectorContract,
    assert_same,
    info,
    numbers,
)
from typing_extensions import override

from detection.adapters.fallback import FallbackDetector
from detection.adapters.jpeg import OpenCvDecoder, OpenCvFaceCutter, decode_picture
from detection.adapters.network_detector import FAMILIES, NetworkDetector
from detection.adapters.placed import PictureTools, PlacedPictures
from detection.domain.chip import ChipWindow
from detection.domain.face import Image, Picture, pixels
from detection.domain.picture import UnreadableImageError
from detection.ports import ChipCut, FaceCutter, FaceDetector
from inference.chain import Chain
from inference.engine import EngineError, EngineInfo, Outputs, Tensor
from inference.links import Link
from inference.onnx_engine import OnnxEngine
from inference.threads import HangingError
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox
from mesh.models import InputSpec, ModelRegistry

torch = pytest.importorskip("torch", reason="the extra inference[torch] is not installed")
pytest.importorskip("torchvision", reason="the extra inference[torch] is not installed")

from detection.adapters.device_cutter import DeviceFaceCutter  # noqa: E402 -- an extra
from detection.adapters.device_detector import DeviceDetector  # noqa: E402
from detection.adapters.device_jpeg import encoder, is_full_colour  # noqa: E402
from detection.adapters.device_pictures import (  # noqa: E402
    DeviceImageDecoder,
    DevicePicture,
    planes_of,
    scaled,
)
from detection.adapters.device_resampling import Part  # noqa: E402
from inference.torch_engine import TorchEngine  # noqa: E402
from inference.torch_places import Host  # noqa: E402

CPU = torch.device("cpu")
ON_DEVICE = ("yunet-2023mar", "scrfd-500m")
T = TypeVar("T")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Torch would take every core of a machine on which other tests run too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Broken:
    """Threads on which nothing that touches the device ends well."""

    abandoned = 0

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.calls = 0

    def run(self, work: Callable[[], T], timeout: float) -> T:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return work()

    def start(self, work: Callable[[], T]) -> Any:
        raise NotImplementedError


GONE = (RuntimeError("CUDA error: unspecified launch failure"), HangingError("no answer"))


def as_jpeg(picture: Picture, quality: int = 92) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def saved(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def on_device(picture: Picture) -> DevicePicture:
    """The picture on the device, whose bytes are those of a PNG: without loss."""
    data = bytes(cv2.imencode(".png", picture)[1])
    return DevicePicture(planes_of(picture, CPU), data, lambda planes, _: _copied(planes))


def _copied(planes: Any) -> Picture:
    found: Picture = np.ascontiguousarray(planes.numpy()[::-1].transpose(1, 2, 0))
    return found


class TestDecoder:
    def test_every_picture_is_what_the_host_makes_of_it_and_a_bad_one_fails_alone(
        self, astronaut: Picture
    ) -> None:
        plain, shown = as_jpeg(astronaut), Pillow.fromarray(astronaut[:, :, ::-1])
        turned = Pillow.Exif()
        turned[0x0112] = 6
        files = [
            plain,
            b"nonsense",
            saved(shown, "PNG"),
            saved(shown.convert("L"), "JPEG"),
            saved(shown.convert("CMYK"), "JPEG"),
            saved(shown, "JPEG", exif=turned),
            saved(shown, "JPEG", progressive=True),
            plain[: len(plain) // 2],
            b"",
            plain + bytes(64),
        ]
        found = DeviceImageDecoder(CPU).decode(files)
        for one, other in zip(found, OpenCvDecoder().decode(files), strict=True):
            if isinstance(other, UnreadableImageError):
                assert isinstance(one, UnreadableImageError)
                assert one.reason == other.reason
            else:
                assert isinstance(one, DevicePicture)
                assert one.shape == other.shape
                assert (pixels(one) == other).all()

    def test_a_picture_with_too_many_pixels_is_refused(self, astronaut: Picture) -> None:
        [found] = DeviceImageDecoder(CPU, max_pixels=1000).decode([as_jpeg(astronaut)])
        assert isinstance(found, UnreadableImageError)
        assert found.reason == "too_many_pixels"

    @pytest.mark.parametrize("error", GONE)
    def test_where_the_device_is_gone_the_host_decodes(
        self, astronaut: Picture, error: Exception
    ) -> None:
        files = [as_jpeg(astronaut), b"nonsense"]
        good, bad = DeviceImageDecoder(CPU, threads=Broken(error)).decode(files)
        assert isinstance(good, np.ndarray)
        assert (good == decode_picture(files[0])).all()
        assert isinstance(bad, UnreadableImageError)


class TestDevicePicture:
    def test_its_pixels_are_copied_to_the_host_once(self, astronaut: Picture) -> None:
        copies = []

        def copy_back(planes: Any, _: bytes) -> Picture:
            copies.append(planes)
            return _copied(planes)

        picture = DevicePicture(planes_of(astronaut, CPU), b"", copy_back)
        assert not copies
        assert (np.asarray(picture) == astronaut).all()
        assert pixels(picture) is pixels(picture)
        assert len(copies) == 1

    @pytest.mark.parametrize("error", GONE)
    def test_pictures_of_a_device_that_is_gone_are_decoded_from_their_bytes(
        self, astronaut: Picture, hopper: Picture, error: Exception
    ) -> None:
        threads = Broken(error)
        threads.error = None
        files = [as_jpeg(astronaut), as_jpeg(hopper)]
        images = DeviceImageDecoder(CPU, threads=threads).decode(files)
        threads.error, threads.calls = error, 0
        for image, data in zip(images, files, strict=True):
            assert isinstance(image, DevicePicture)
            assert (pixels(image) == decode_picture(data)).all()
        assert threads.calls == 1, "a device that failed once is not asked for every picture"


@pytest.mark.parametrize(
    ("width", "height"), [(320, 256), (333, 217), (600, 512), (1000, 900), (64, 37)]
)
def test_pictures_are_scaled_as_opencv_scales_them(
    hopper: Picture, width: int, height: int
) -> None:
    expected = cv2.resize(hopper, (width, height), interpolation=cv2.INTER_LINEAR)
    found = scaled(planes_of(hopper, CPU)[None], width=width, height=height)[0]
    assert np.abs(_copied(found).astype(int) - expected.astype(int)).max() <= 1


class TestDeviceFaceCutter(FaceCutterContract):
    alike = 6

    @staticmethod
    @override
    def placed(image: Picture) -> Image:
        return on_device(image)

    @pytest.fixture
    def cutter(self) -> FaceCutter:
        return DeviceFaceCutter(CPU)

    def test_chips_are_those_of_opencv_within_a_grey_level(
        self, astronaut: Picture, hopper: Picture
    ) -> None:
        """Before they are encoded: JPEG makes more of a level."""
        from detection.adapters.jpeg import _crop, _resize  # noqa: PLC0415

        random = np.random.default_rng(3)
        cuts = []
        for image in (astronaut, hopper):
            for side in (23, 111, 112, 150, 224, 225, 256, 257, 448, 700):
                x, y = (int(value) for value in random.integers(-min(side // 2, 60), 300, 2))
                window = ChipWindow(x=x, y=y, side=side)
                cuts += [ChipCut(image, window, min(side, most)) for most in (112, 160, 224)]
        parts = [Part(c.window.x, c.window.y, c.window.side, c.window.side, c.size) for c in cuts]
        squares = DeviceFaceCutter(CPU)._squares(
            [on_device(pixels(one.image)) for one in cuts], parts
        )
        for one, square in zip(cuts, squares, strict=True):
            expected = _resize(_crop(pixels(one.image), one.window), one.size).astype(int)
            assert np.abs(_copied(square).astype(int) - expected).max() <= 1

    def test_grey_faces_are_those_of_opencv_within_two_levels(
        self, astronaut: Picture, hopper: Picture
    ) -> None:
        boxes = [
            BoundingBox(x1=x, y1=y, x2=x + width, y2=y + height)
            for x, y in ((0.0, 0.0), (31.4, 77.7), (300.5, 200.5))
            for width, height in ((0.4, 0.4), (20.3, 31.0), (112.0, 112.0), (100.0, 180.0))
        ]
        boxes.append(BoundingBox(x1=3, y1=4, x2=500, y2=501))
        ours = DeviceFaceCutter(CPU).grey(
            [a_view(on_device(image), box) for image in (astronaut, hopper) for box in boxes]
        )
        theirs = OpenCvFaceCutter().grey(
            [a_view(image, box) for image in (astronaut, hopper) for box in boxes]
        )
        for one, other in zip(ours, theirs, strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= 2

    @pytest.mark.parametrize("error", GONE)
    def test_where_the_device_is_gone_the_host_cuts(
        self, astronaut: Picture, error: Exception
    ) -> None:
        cutter = DeviceFaceCutter(CPU, threads=Broken(error))
        cut = ChipCut(on_device(astronaut), ChipWindow(x=10, y=10, side=300), 224)
        plain = ChipCut(astronaut, cut.window, cut.size)
        assert cutter.chips([cut], quality=92) == OpenCvFaceCutter().chips([plain], quality=92)


def test_only_a_jpeg_with_all_its_colours_counts_as_such(astronaut: Picture) -> None:
    factors = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    full, half = (
        bytes(cv2.imencode(".jpg", astronaut, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, one])[1])
        for one in factors
    )
    assert is_full_colour(full)
    assert not is_full_colour(half)
    assert not is_full_colour(b"")
    assert all(map(is_full_colour, encoder(CPU)([planes_of(astronaut, CPU)], 92)))


def detectors(model_id: str, models_dir: Path) -> tuple[FaceDetector, FaceDetector]:
    """The model on the device, and by onnxruntime from memory."""
    model = ModelRegistry.load().models[model_id]
    path = next(models_dir.rglob(model.files[0].name), None)
    if path is None:
        pytest.skip(f"SIGHTLINE_MODELS_DIR has no {model.files[0].name}")
    shape = model.input or InputSpec(width=0, height=0)
    decoder = model.decoder or ""
    ours = DeviceDetector(
        TorchEngine(path, place=Host()), info=info(model_id), decoder=decoder, shape=shape
    )
    theirs = NetworkDetector(
        OnnxEngine(path), info=info(model_id), family=FAMILIES[decoder], shape=shape
    )
    return ours, theirs


@pytest.fixture(scope="module", params=ON_DEVICE)
def both(request: pytest.FixtureRequest, models_dir: Path) -> tuple[FaceDetector, FaceDetector]:
    return detectors(request.param, models_dir)


class TestDeviceDetector(RealDetectorContract):
    @pytest.fixture
    def detector(self, both: tuple[FaceDetector, FaceDetector]) -> FaceDetector:
        return both[0]

    def test_pictures_on_the_device_give_what_pictures_in_memory_give(
        self, detector: FaceDetector, astronaut: Picture, hopper: Picture
    ) -> None:
        images = [astronaut, hopper, astronaut]
        assert_same(detector.detect([on_device(one) for one in images]), detector.detect(images))

    def test_it_finds_the_faces_that_onnxruntime_finds(
        self, both: tuple[FaceDetector, FaceDetector], data_dir: Path
    ) -> None:
        names = ("insightface/t1.jpg", "ultralytics/zidane.jpg", "ultralytics/bus.jpg")
        files = [(data_dir / "images" / name).read_bytes() for name in names]
        images = DeviceImageDecoder(CPU).decode(files)
        ours, theirs = both
        found = ours.detect([one for one in images if not isinstance(one, UnreadableImageError)])
        expected = theirs.detect([decode_picture(data) for data in files])
        assert [len(faces) for faces in found] == [len(faces) for faces in expected]
        for faces, others in zip(found, expected, strict=True):
            for face in faces:
                near = min(others, key=lambda other: far(numbers(face), numbers(other)))
                assert far(numbers(face), numbers(near)) <= 1.0  # pixels
                assert abs(face.confidence - near.confidence) <= 0.01


def far(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


class Odd:
    """An engine on the device that puts out what no detector does."""

    info = EngineInfo(engine="torch", device="CPU", precision="f32")
    device = CPU

    def run(self, batch: Tensor) -> Outputs:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""

    def run_on_device(self, items: Any) -> dict[str, Any]:
        return {"mean": items.float().mean(dim=(2, 3))}


class Failing(Odd):
    @override
    def run_on_device(self, items: Any) -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("decoder", ["yunet", "scrfd"])
def test_a_network_of_another_family_refuses_the_start(decoder: str) -> None:
    shape = InputSpec(width=0, height=0, multiple=32)
    with pytest.raises(ConfigurationError, match="small: expected"):
        DeviceDetector(Odd(), info=info("small"), decoder=decoder, shape=shape)


def test_a_device_that_fails_is_an_engine_error_so_that_the_chain_goes_on() -> None:
    shape = InputSpec(width=0, height=0, multiple=32)
    with pytest.raises(EngineError, match="illegal memory access"):
        DeviceDetector(Failing(), info=info("small"), decoder="yunet", shape=shape)


class Lost:
    """A detector on a GPU that is gone."""

    info = info("lost")

    def detect(self, images: Sequence[Image], *, long_side: int | None = None) -> Never:
        raise EngineError("torch: CUDA error: device lost")

    def warm_up(self) -> None:
        """It was there when the service started."""


def test_a_gpu_that_is_lost_leaves_its_pictures_to_the_cpu(
    fake_detector: FaceDetector, jpeg: Callable[..., bytes]
) -> None:
    """Decoded on the device, which fails before it has looked: nothing can be copied from it."""
    threads = Broken(RuntimeError("CUDA error: device lost"))
    threads.error = None
    files = [jpeg(side=60), jpeg(side=0)]
    images = DeviceImageDecoder(CPU, threads=threads).decode(files)
    threads.error = RuntimeError("CUDA error: device lost")
    made: dict[str, FaceDetector] = {"GPU-0": Lost(), "CPU": fake_detector}
    links = [
        Link(name=on, device=on, model_id="m", timeout=30.0, build=partial(made.__getitem__, on))
        for on in made
    ]
    detector = FallbackDetector(Chain(links))
    found = detector.detect([one for one in images if not isinstance(one, UnreadableImageError)])
    assert [len(faces) for faces in found] == [1, 0]
    assert detector.info.fallback_used


class TestPlaced:
    def test_pictures_are_decoded_and_cut_where_the_batch_is_for(self, astronaut: Picture) -> None:
        opened = []

        def open_tools(device: str) -> PictureTools:
            opened.append(device)
            return PictureTools(DeviceImageDecoder(CPU), DeviceFaceCutter(CPU))

        where: list[str | None] = [None]
        placed = PlacedPictures(lambda: where[0], open_tools=open_tools)
        placed.warm_up()
        data = as_jpeg(astronaut)
        assert isinstance(placed.decode([data])[0], np.ndarray)
        assert not opened
        where[0] = "GPU-0"
        placed.warm_up()
        [image] = placed.decode([data])
        assert isinstance(image, DevicePicture)
        assert opened == ["GPU-0"]
        where[0] = None  # the GPU failed after it had decoded: the host cuts the same picture
        window = ChipWindow(x=100, y=30, side=224)
        [chip] = placed.chips([ChipCut(image, window, 224)], quality=92)
        shown = decode_picture(data)[30:254, 100:324]
        assert np.abs(decoded(chip).astype(int) - shown.astype(int)).mean() < 3


@pytest.mark.gpu
def test_cuda_decodes_and_cuts_as_the_host_does(astronaut: Picture, hopper: Picture) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    card = torch.device("cuda", 0)
    files = [as_jpeg(astronaut), as_jpeg(hopper)]
    images = DeviceImageDecoder(card).decode(files)
    window = ChipWindow(x=100, y=30, side=300)
    for image, data in zip(images, files, strict=True):
        assert isinstance(image, DevicePicture)
        assert image.planes.device == card
        shown = decode_picture(data)
        assert np.abs(pixels(image).astype(int) - shown.astype(int)).mean() < 1.5
        [chip] = DeviceFaceCutter(card).chips([ChipCut(image, window, 224)], quality=92)
        [expected] = OpenCvFaceCutter().chips([ChipCut(shown, window, 224)], quality=92)
        assert is_full_colour(chip)
        assert np.abs(decoded(chip).astype(int) - decoded(expected).astype(int)).mean() < 3
