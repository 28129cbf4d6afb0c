from datetime import timedelta

import pytest

from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.kafka import WorkerPolicy
from mesh.kafka.membership import Membership
from mesh.scheduler import LaneSpec

PATIENCE = timedelta(seconds=60)


class FakeLane:
    def __init__(self, name: str, *, joined: bool = False, broker: bool = True) -> None:
        self.spec = LaneSpec(name=name, topics=(name,))
        self.joined = joined
        self.broker = broker

    def answers(self) -> bool:
        return self.broker


def looked(membership: Membership, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        membership.check()
        clock.advance(1)


def test_a_lane_that_is_kept_out_while_the_broker_answers_ends_the_worker() -> None:
    clock = ManualClock()
    lanes = [FakeLane("urgent", joined=True), FakeLane("live")]
    membership = Membership(lanes, clock, PATIENCE)
    looked(membership, clock, 61)
    with pytest.raises(TransientError, match=r"^no assignment of live in 61 s although the broker"):
        membership.check()


def test_members_that_work_on_a_long_batch_have_time_to_finish_it() -> None:
    assert WorkerPolicy().join_timeout == timedelta(seconds=75)
    assert WorkerPolicy(batch_timeout=timedelta(minutes=5)).join_timeout == timedelta(seconds=315)


def test_a_broker_that_is_away_is_waited_for_and_the_patience_begins_anew_with_it() -> None:
    clock = ManualClock()
    lane = FakeLane("live")
    membership = Membership([lane], clock, PATIENCE)
    looked(membership, clock, 60)
    lane.broker = False
    looked(membership, clock, 600)
    lane.broker = True
    looked(membership, clock, 61)
    with pytest.raises(TransientError):
        membership.check()


def test_the_patience_begins_anew_with_every_lane_that_joined_in_time() -> None:
    clock = ManualClock()
    lane = FakeLane("live")
    membership = Membership([lane], clock, PATIENCE)
    for _ in range(10):
        lane.joined = False
        looked(membership, clock, 60)
        lane.joined = True
        looked(membership, clock, 60)
    lane.joined = False
    looked(membership, clock, 61)
    with pytest.raises(TransientError):
        membership.check()
