"""Pictures on torch's CPU device against OpenCV; CUDA itself is marked `gpu`."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

torch: Any = pytest.importorskip("torch", reason="the extra inference[torch] is not installed")

from inference.torch_pictures import DeviceDecoder, warped  # noqa: E402 -- behind the skip

Pixels = NDArray[np.uint8]
WITHIN = 1
"""Grey levels."""


def picture(seed: int, height: int, width: int) -> Pixels:
    """Smooth, with edges, as pictures are."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height)), np.uint8)


def read(data: bytes) -> Pixels | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None


def on_device(pixels: Pixels, device: str = "cpu") -> Any:
    planes = np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planes).to(device)


def on_host(found: Any) -> Pixels:
    return np.asarray(found.cpu().numpy().transpose(1, 2, 0)[..., ::-1])


def jpeg(pixels: Pixels, quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def turned(pixels: Pixels) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(pixels[..., ::-1]).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def odd_ones() -> list[bytes]:
    """What is no plain JPEG, in the ways that chips and photos can be."""
    pixels, stream = picture(3, 40, 30), io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(stream, "JPEG")
    wide = cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes()
    grey = jpeg(pixels[..., 0])
    return [stream.getvalue(), wide, grey, turned(pixels), jpeg(pixels)[:-60], b"nonsense", b""]


class Counted:
    """The host's decoder; counts what comes to it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, data: bytes) -> Pixels | None:
        self.seen.append(data)
        return read(data)


def test_plain_jpegs_are_decoded_there_and_all_others_by_the_host() -> None:
    host = Counted()
    plain = [jpeg(picture(seed, 30 + seed, 50)) for seed in range(4)]
    mixed = [plain[0], *odd_ones(), *plain[1:]]
    found = DeviceDecoder(torch.device("cpu"), host)(mixed)
    assert host.seen == odd_ones()
    for data, ours in zip(mixed, found, strict=True):
        expected = read(data)
        assert (ours is None) == (expected is None)
        if expected is not None:
            assert ours.dtype == torch.uint8
            assert np.abs(on_host(ours).astype(int) - expected).max() <= 1


def test_a_jpeg_that_the_device_refuses_costs_the_others_nothing() -> None:
    good, host = jpeg(picture(1, 64, 64)), Counted()
    tables = good.index(b"\xff\xdb")
    broken = good[:tables] + good[good.index(b"\xff\xc0") :]
    found = DeviceDecoder(torch.device("cpu"), host)([good, broken, good])
    assert host.seen == [broken]
    assert (found[0] == found[2]).all()
    assert found[1] is None


def test_nothing_is_decoded_to_nothing() -> None:
    assert DeviceDecoder(torch.device("cpu"), read)([]) == []


def a_move(seed: int, size: int) -> NDArray[np.float64]:
    """A turn, a scale and a shift, as alignment makes them."""
    random = np.random.default_rng(seed)
    angle, scale = random.uniform(-0.6, 0.6), random.uniform(0.4, 2.0)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, random.uniform(-0.3, 0.5, 2) * size])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.integers(1, 130), st.integers(1, 130)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([96, 112]),
)
def test_pictures_of_any_sizes_are_warped_as_opencv_warps_each(
    made: list[tuple[int, int, int]], size: int
) -> None:
    pictures = [picture(*one) for one in made]
    moves = np.stack([a_move(seed, size) for seed, _, _ in made])
    found = warped([on_device(one) for one in pictures], moves, size)
    for ours, pixels, move in zip(found, pictures, moves, strict=True):
        expected = cv2.warpAffine(pixels, move, (size, size), flags=cv2.INTER_LINEAR)
        assert np.abs(on_host(ours) - expected).max() <= WITHIN


def test_coordinates_are_the_centres_of_pixels() -> None:
    pixels = picture(5, 112, 112)
    still = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    assert (on_host(warped([on_device(pixels)], still, 112)[0]) == pixels).all()


def test_a_move_that_cannot_be_undone_fails_no_more_than_in_opencv() -> None:
    pixels, flat = picture(5, 20, 20), np.zeros((2, 3))
    expected = cv2.warpAffine(pixels, flat, (96, 96), flags=cv2.INTER_LINEAR)
    assert np.abs(on_host(warped([on_device(pixels)], flat[None], 96)[0]) - expected).max() <= 1


@pytest.mark.gpu
def test_cuda_decodes_and_warps_as_the_host_does() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    device = torch.device("cuda")
    pictures = [picture(seed, 100 + seed, 120) for seed in range(9)]
    found = DeviceDecoder(device, read)([jpeg(one) for one in pictures])
    moves = np.stack([a_move(seed, 112) for seed in range(9)])
    squares = warped(found, moves, 112)
    for ours, square, pixels, move in zip(found, squares, pictures, moves, strict=True):
        expected = read(jpeg(pixels))
        assert ours.device.type == "cuda"
        assert expected is not None
        # nvJPEG may enlarge halved colours another way than libjpeg: levels differ at edges.
        assert np.abs(on_host(ours).astype(int) - expected).mean() < 2
        turned = cv2.warpAffine(on_host(ours), move, (112, 112), flags=cv2.INTER_LINEAR)
        assert np.abs(on_host(square) - turned).max() <= WITHIN
