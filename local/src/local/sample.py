"""The sample video of the demo: two public-domain portraits that walk through a moving scene.

Grace Hopper (United States Navy, shipped by matplotlib) is enrolled from another crop of her
portrait; Eileen Collins (NASA, shipped by scikit-image) is unknown until somebody names her. Each
is away for longer than the gap that closes a sighting, so that sightings close and begin again.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from mesh.errors import ConfigurationError

WIDTH = 640
HEIGHT = 360
FPS = 12
SECONDS = 30
_VERSION = 1
_KEYFRAME_EVERY = FPS
_OUTSIDE = 165
"""A person whose middle is this far outside the scene cannot be seen."""
_COARSE = 4
"""The backdrop is smooth: it is computed at this fraction of the scene's size."""
_GRAINS = 7
"""Different pictures of sensor noise, shown in turn."""

Report = Callable[[str], None]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the demo shows on a machine without cameras."""

    video: Path
    """MP4 of 640 x 360 pixels that loops without a seam."""
    portrait: Path
    """JPEG of the person to enrol, not a picture of the video."""
    person_name: str
    """Whom the portrait shows."""
    unknown_name: str
    """Who else is in the video, unknown until she is named."""
    fps: float
    """Frames per second of the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """A cut-out portrait and its walk through the scene."""

    package: str
    file: str
    """Path of the portrait within the package."""
    outline: Points
    """Silhouette in pixels of the portrait."""
    height: int
    """Rows of the portrait that are used."""
    scale: float
    """Size in the scene, relative to the portrait; faces come out about 90 pixels tall."""
    walk: Points
    """Second and horizontal position of the middle, in pixels of the scene."""
    phase: float
    """Where the swaying begins, so that two people never move as one."""


_HOPPER = _Person(
    package="matplotlib",
    file="mpl-data/sample_data/grace_hopper.jpg",
    outline=(
        (150, 88), (172, 62), (240, 22), (290, 24), (345, 58), (373, 95), (372, 150), (379, 188),
        (376, 240), (362, 270), (345, 302), (335, 328), (400, 360), (480, 388), (506, 430),
        (511, 599), (18, 599), (26, 450), (52, 382), (130, 356), (196, 322), (190, 292), (164, 270),
        (152, 222), (156, 185), (144, 132),
    ),
    height=600,
    scale=0.48,
    walk=((0, -170), (0.8, -170), (3.2, 190), (9, 235), (13.5, 170), (16, -170), (30, -170)),
    phase=0.0,
)  # fmt: skip
_COLLINS = _Person(
    package="skimage",
    file="data/astronaut.png",
    outline=(
        (155, 70), (177, 37), (220, 17), (268, 23), (294, 58), (295, 97), (272, 128), (256, 152),
        (254, 178), (284, 196), (303, 236), (345, 256), (360, 300), (363, 329), (34, 329),
        (46, 282), (74, 242), (114, 216), (116, 192), (134, 166), (166, 153), (186, 153),
        (180, 124), (156, 98),
    ),
    height=330,
    scale=0.98,
    walk=((0, 820), (7.2, 820), (9.8, 465), (15, 440), (20.5, 350), (23.2, 820), (30, 820)),
    phase=2.1,
)  # fmt: skip


def prepare(var_dir: Path, progress: Report) -> Sample:
    """The sample video and the portrait to enrol; made on the first call, then kept.

    Args:
        var_dir: State folder of the platform.
        progress: Takes progress lines.

    Raises:
        ConfigurationError: A package that ships a portrait is missing.
    """
    folder = var_dir / "sample"
    sample = Sample(
        video=folder / f"people-v{_VERSION}.mp4",
        portrait=folder / f"portrait-v{_VERSION}.jpg",
        person_name="Grace Hopper",
        unknown_name="Eileen Collins",
        fps=float(FPS),
    )
    folder.mkdir(parents=True, exist_ok=True)
    if not sample.portrait.exists():
        _replace(sample.portrait, lambda path: _portrait().save(path, "JPEG", quality=92))
    if not sample.video.exists():
        progress(f"making the sample video ({SECONDS} s of {WIDTH}x{HEIGHT}, about 15 s of work)")
        _replace(sample.video, lambda path: _encode(path, _frames()))
        progress(f"sample video made ({sample.video.stat().st_size / 1e6:.1f} MB)")
    return sample


def _replace(target: Path, write: Callable[[Path], None]) -> None:
    """Writes beside the target and renames, so that a half-written file is never taken for one."""
    part = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        write(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _picture(person: _Person) -> Image.Image:
    spec = find_spec(person.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / person.file
        if path.exists():
            with Image.open(path) as picture:
                return picture.convert("RGB")
    raise ConfigurationError(
        f"the sample video needs the package that ships {person.file}: install local[sample]"
    )


def _portrait() -> Image.Image:
    """Head and shoulders of the person to enrol: other crop, size and light than in the video."""
    crop = _picture(_HOPPER).crop((95, 5, 435, 425)).resize((272, 336), Image.Resampling.LANCZOS)
    return ImageEnhance.Color(ImageEnhance.Brightness(crop).enhance(1.1)).enhance(0.85)


def _cut_out(person: _Person) -> Image.Image:
    """The person without the background, soft at the edges (RGBA)."""
    picture = _picture(person)
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(list(person.outline), fill=255)
    picture.putalpha(mask.filter(ImageFilter.GaussianBlur(2)))
    return picture.crop((0, 0, picture.width, person.height))


def _frames() -> Iterator[Image.Image]:
    people = [(person, _cut_out(person)) for person in (_HOPPER, _COLLINS)]
    noise = np.random.default_rng(1906)
    grains = noise.normal(0, 3.0, (_GRAINS, HEIGHT, WIDTH, 1)).astype(np.float32)
    for index in range(FPS * SECONDS):
        second = index / FPS
        scene = _backdrop(second)
        for person, cut_out in people:
            _place(scene, person, cut_out, second)
        yield _camera(scene, second, grains[index % _GRAINS])


def _backdrop(second: float) -> Image.Image:
    """A wall whose colours drift, with two lamps that wander; the same again after the loop."""
    turn = 2 * math.pi * second / SECONDS
    x = np.linspace(0, 1, WIDTH // _COARSE, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, HEIGHT // _COARSE, dtype=np.float32)[:, None]
    wall = 0.5 + 0.5 * np.sin(2.5 * x + 1.2 * y + turn)
    lamps = sum(
        np.exp(-(((x - 0.5 - 0.4 * math.sin(k * turn + k)) / 0.16) ** 2) - ((y - 0.25) / 0.3) ** 2)
        for k in (1, 2)
    )
    floor = (y > 0.86) * 26.0
    channels = [
        70 + 50 * wall + 40 * lamps - floor,
        92 + 28 * wall + 42 * lamps - floor,
        120 - 34 * wall + 48 * lamps - floor,
    ]
    coarse = Image.fromarray(np.clip(np.dstack(channels), 0, 255).astype(np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def _place(scene: Image.Image, person: _Person, cut_out: Image.Image, second: float) -> None:
    """Pastes the person where the walk has led, swaying, nodding and breathing a little."""
    seconds, places = zip(*person.walk, strict=True)
    middle = float(np.interp(second, np.array(seconds), np.array(places)))
    if not -_OUTSIDE < middle < WIDTH + _OUTSIDE:
        return
    turn = 2 * math.pi * second / SECONDS
    scale = person.scale * (1 + 0.06 * math.sin(4 * turn + person.phase))
    angle = 2.5 * math.sin(11 * turn + person.phase)
    size = (round(cut_out.width * scale), round(cut_out.height * scale))
    figure = cut_out.resize(size, Image.Resampling.BILINEAR).rotate(
        angle, Image.Resampling.BILINEAR, center=(size[0] / 2, size[1])
    )
    left = middle - figure.width / 2
    top = HEIGHT + 8 - figure.height + 4 * math.sin(23 * turn + person.phase)
    scene.paste(figure, (round(left), round(top)), figure)


def _camera(scene: Image.Image, second: float, grain: NDArray[np.float32]) -> Image.Image:
    """What a sensor makes of it: the exposure wanders and every pixel has its own noise."""
    gain = 1 + 0.14 * math.sin(2 * math.pi * 3 * second / SECONDS)
    pixels: NDArray[np.float32] = np.asarray(scene, dtype=np.float32) * np.float32(gain)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _encode(path: Path, frames: Iterator[Image.Image]) -> None:
    """Writes H.264 (MPEG-4 part 2 where PyAV has no x264) with a keyframe every second."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=FPS)
        if not isinstance(stream, av.VideoStream):
            raise TypeError(f"{codec} is no video codec")
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = _KEYFRAME_EVERY
        stream.codec_context.max_b_frames = 0
        stream.codec_context.time_base = Fraction(1, FPS)
        if codec == "libx264":
            stream.options = {"crf": "23", "preset": "veryfast", "sc_threshold": "0"}
        else:
            stream.bit_rate = 2_000_000
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
