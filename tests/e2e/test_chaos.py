"""A short fixed schedule of faults on the running mesh; `make test-chaos` runs the long ones."""

import pytest
from tests.chaos.auditor import Patience
from tests.chaos.schedule import INFRASTRUCTURE, SERVICES, Fault, Kind
from tests.chaos.site import Site
from tests.chaos.trial import Load, Trial
from tests.e2e.observer import Mesh

from local.sample import Sample

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

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
    with Trial(site, mesh, sample, load=load, patience=Patience()) as trial:
        for number, fault in enumerate(SCHEDULE):
            found = trial.round(number, fault)
            assert found.problems == [], found.line()
        book, problems = trial.rest()

    assert problems == []
    assert book["processed"] > 0
    assert book["failed"]["by_reason"]["poison"] >= 1
