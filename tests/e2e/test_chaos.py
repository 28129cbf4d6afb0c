"""A short fixed schedule of faults on the running mesh; `make test-chaos` runs the long ones."""

import pytest
from tests.chaos.auditor import Patience
from tests.chaos.schedule import INFRASTRUCTURE, SERVICES, Fault, Kind
from tests.chaos.site import Site
from tests.chaos.trial import Load, Trial
from tests.e2e.observer import Mesh

from local.sample import Sample

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]

SCHEDULE = (
    Fault(kind=Kind.KILL_SEVERAL, victims=SERVICES),
    Fault(kind=Kind.KILL_SEVERAL, victims=INFRASTRUCTURE),
    Fault(kind=Kind.FREEZE, victims=("detection",), seconds=8),
    Fault(kind=Kind.POISON_RECORD, victims=("detection",)),
    Fault(kind=Kind.POISON_RECORD, victims=("writer",)),
    Fault(kind=Kind.DATABASE_AWAY, seconds=8, companion="recognition"),
    Fault(kind=Kind.DEADLY_PICTURE),
)


def test_nothing_is_lost_and_nothing_comes_twice_whatever_dies(
    site: Site, mesh: Mesh, sample: Sample, grace: str
) -> None:
    load = Load(cameras=2, fps=0.5, clients=2, pause=3)
    patience = Patience(ready=240, drain=180, due=180)
    with Trial(site, mesh, sample, load=load, patience=patience) as trial:
        found = trial.round(0, *SCHEDULE)
        book, problems = trial.rest()

    assert found.problems == [], found.line()
    assert problems == []
    assert book["processed"] > 0
    assert book["failed"]["by_reason"]["poison"] >= 1
