"""One mesh for all end-to-end tests: every service, on the pack that package registries bring."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from skimage import data
from tests.chaos.schedule import STAGES
from tests.chaos.site import HASTY, Site
from tests.e2e.clips import shrink
from tests.e2e.observer import Mesh, enrol, jpeg

from local.sample import Sample, prepare

CALM = {
    # Two cores carry broker, database and fourteen Python processes here.
    "SIGHTLINE_MODEL_PACK": "dlib",
    "SIGHTLINE_ALLOW_FILE_SOURCES": "true",
    **HASTY,
}
TWO = dict.fromkeys((*STAGES, "gateway"), 2)
"""Two gateways and two of every stage."""


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The demo's video and portrait."""
    return prepare(tmp_path_factory.mktemp("sample"), print)


@pytest.fixture(scope="session")
def small_clip(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample video at 320 x 180, which dlib finds faces in quickly."""
    return shrink(sample.video, tmp_path_factory.mktemp("clips") / "small.mp4", 320, 180)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A running installation of its own; its folder is one that the database's user may enter."""
    with (
        TemporaryDirectory(prefix="sightline-e2e-", ignore_cleanup_errors=True) as root,
        Site(Path(root), instances=TWO, environment=CALM, report=print) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def mesh(site: Site) -> Iterator[Mesh]:
    """The installation as clients see it."""
    with closing(Mesh(site)) as watched:
        yield watched


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """A portrait of Eileen Collins as JPEG, 300 x 300 px."""
    return jpeg(data.astronaut()[:300, 70:370])


@pytest.fixture(scope="session")
def grace(mesh: Mesh, sample: Sample) -> str:
    """The enrolled person of the sample video."""
    return enrol(mesh, sample.person_name, sample.portrait.read_bytes())
