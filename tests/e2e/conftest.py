"""One mesh for all end-to-end tests: every service, on the pack that package registries bring."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from skimage import data
from tests.e2e.clips import shrink
from tests.e2e.observer import Mesh, jpeg

from local.installation import Installation, Plan
from local.layout import Layout, state_root
from local.sample import Sample, prepare

CALM = {
    # Two cores carry broker, database and nine Python processes here.
    "SIGHTLINE_MODEL_PACK": "dlib",
    "SIGHTLINE_ALLOW_FILE_SOURCES": "true",
}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The demo's video and portrait."""
    return prepare(tmp_path_factory.mktemp("sample"), print)


@pytest.fixture(scope="session")
def small_clip(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample video at 320 x 180, which dlib finds faces in quickly."""
    return shrink(sample.video, tmp_path_factory.mktemp("clips") / "small.mp4", 320, 180)


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A running installation of its own."""
    root = tmp_path_factory.mktemp("mesh")
    layout = Layout(root=root, cache=Layout.at(state_root({})).cache)
    with Installation(Plan(layout=layout, environment=CALM), print) as installation:
        watched = Mesh(installation)
        yield watched
        watched.close()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """A portrait of Eileen Collins as JPEG, 512 x 512 px."""
    return jpeg(data.astronaut())
