"""One mesh for all end-to-end tests: every service, on the pack that package registries bring."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from skimage import data
from tests.e2e.clips import shrink
from tests.e2e.observer import Mesh, enrol, jpeg

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
def mesh() -> Iterator[Mesh]:
    """A running installation of its own; its folder is one that the database's user may enter."""
    with TemporaryDirectory(prefix="sightline-e2e-", ignore_cleanup_errors=True) as root:
        layout = Layout(root=Path(root), cache=Layout.at(state_root(os.environ)).cache)
        with Installation(Plan(layout=layout, environment=CALM), print) as installation:
            watched = Mesh(installation)
            yield watched
            watched.close()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """A portrait of Eileen Collins as JPEG, 300 x 300 px."""
    return jpeg(data.astronaut()[:300, 70:370])


@pytest.fixture(scope="session")
def grace(mesh: Mesh, sample: Sample) -> str:
    """The enrolled person of the sample video."""
    return enrol(mesh, sample.person_name, sample.portrait.read_bytes())
