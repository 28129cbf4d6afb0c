from functools import partial

import pytest
from libs.inference.tests.fakes import FakeThreads, HangError

from inference.chain import Chain, ChainTimeoutError
from inference.engine import EngineError
from inference.link_health import ChainPolicy, LinkState
from inference.links import Change, Link
from mesh.clock import ManualClock
from mesh.errors import ConfigurationError


class Tool:
    """Answers with its name and generation, or fails as it is told."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = f"{name}{world.built.count(name)}"
        self._world = world
        self._kind = name

    def ask(self) -> str:
        error = self._world.trouble.get(self._kind)
        if error is not None:
            raise error
        return self.name


class World:
    """A chain of a GPU and a CPU whose links fail as they are told."""

    def __init__(self, *names: str, policy: ChainPolicy | None = None) -> None:
        self.clock = ManualClock()
        self.threads = FakeThreads()
        self.trouble: dict[str, Exception] = {}
        self.unbuildable: set[str] = set()
        self.built: list[str] = []
        self.changes: list[Change[Tool]] = []
        self.ended: list[str] = []
        timeouts = {"gpu": 5.0, "cpu": 10.0, "cloud": 30.0}
        self.chain = Chain[Tool](
            [
                Link(
                    name=name,
                    device=name.upper(),
                    model_id=f"model-{name}",
                    timeout=timeouts[name],
                    build=partial(self._build, name),
                )
                for name in names or ("gpu", "cpu")
            ],
            policy=policy,
            tell=self.changes.append,
            clock=self.clock,
            end=self.ended.append,
            threads=self.threads,
        )

    def ask(self, prefer: str | None = None) -> tuple[str, bool]:
        answer = self.chain.run(Tool.ask, prefer=prefer)
        return answer.value, answer.stood_in

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(one.kind, one.link.name, one.state) for one in self.changes]

    def _build(self, name: str) -> Tool:
        if name in self.unbuildable:
            raise ConfigurationError(f"{name} is gone")
        self.built.append(name)
        return Tool(self, name)


HANG = HangError()
REFUSAL = EngineError("cannot")


def test_the_first_link_answers_while_it_is_well() -> None:
    world = World()
    answer = world.chain.run(Tool.ask)
    assert (answer.value, answer.link.model_id, answer.stood_in) == ("gpu1", "model-gpu", False)
    assert answer.tool is world.chain.tools[0]
    assert (world.chain.state, world.told) == (LinkState.AVAILABLE, [])


def test_a_link_that_hangs_is_abandoned_and_the_next_answers() -> None:
    world = World()
    world.trouble["gpu"] = HANG
    assert world.ask() == ("cpu1", True)
    assert world.threads.timeouts == [5.0, 10.0]
    assert world.told == [
        ("model_degraded", "gpu", "failed"),
        ("model_fallback", "gpu", "failed"),
    ]
    assert world.changes[1].stand_in is not None
    assert world.changes[1].stand_in.name == "cpu"
    assert world.changes[1].reason == "no answer within 5 s"
    assert world.chain.state is LinkState.DEGRADED
    assert world.chain.serving is world.chain.tools[1]


def test_a_failed_link_is_left_alone_and_nothing_is_told_twice() -> None:
    world = World()
    world.trouble["gpu"] = HANG
    world.ask()
    told = len(world.changes)
    assert [world.ask() for _ in range(20)] == [("cpu1", True)] * 20
    assert (len(world.changes), world.threads.abandoned) == (told, 1)


def test_a_failed_link_is_built_anew_probed_and_restored() -> None:
    world = World()
    world.trouble["gpu"] = HANG
    world.ask()
    world.trouble.clear()
    world.clock.advance(5.0)
    assert world.ask() == ("cpu1", True)
    assert world.ask() == ("gpu2", False)
    before = world.chain.state
    world.clock.advance(60.0)
    assert (before, world.chain.state) == (LinkState.DEGRADED, LinkState.AVAILABLE)
    assert world.told[-1] == ("model_restored", "gpu", "available")
    world.trouble["gpu"] = HANG
    world.ask()
    assert world.told[-1] == ("model_fallback", "gpu", "failed")


def test_a_link_recovers_without_calls_while_its_state_is_read() -> None:
    world = World()
    world.trouble |= {"gpu": HANG, "cpu": HANG}
    with pytest.raises(ChainTimeoutError, match="gpu: no answer within 5 s; cpu: no answer"):
        world.ask()
    states = [world.chain.state]
    world.clock.advance(5.0)
    states += [world.chain.state for _ in range(2)]
    assert (states[0], states[-1]) == (LinkState.FAILED, LinkState.DEGRADED)
    assert world.built == ["gpu", "cpu", "gpu", "cpu"]


def test_a_probe_that_hangs_makes_the_pause_longer() -> None:
    world = World()
    world.trouble["gpu"] = HANG
    for pause in (5.0, 10.0, 20.0):
        world.ask()
        world.clock.advance(pause)
        world.ask()
    assert world.built.count("gpu") == 4
    assert world.threads.abandoned == 3


def test_a_refusal_that_another_link_can_answer_counts_against_the_link() -> None:
    world = World()
    world.trouble["gpu"] = REFUSAL
    assert world.ask() == ("cpu1", True)
    assert world.told == [
        ("model_degraded", "gpu", "degraded"),
        ("model_fallback", "gpu", "degraded"),
    ]
    world.ask()
    world.ask()
    assert world.told[2:] == [("model_degraded", "gpu", "failed")]


def test_what_every_link_refuses_is_bad_itself() -> None:
    world = World()
    world.trouble |= {"gpu": REFUSAL, "cpu": REFUSAL}
    for _ in range(5):
        with pytest.raises(EngineError, match="gpu: cannot; cpu: cannot"):
            world.ask()
    assert (world.chain.state, world.told) == (LinkState.AVAILABLE, [])


def test_when_nothing_may_be_asked_the_link_that_rested_longest_is_built_at_once() -> None:
    world = World()
    world.trouble |= {"gpu": HANG, "cpu": HANG}
    with pytest.raises(ChainTimeoutError):
        world.ask()
    world.trouble.clear()
    assert world.ask() == ("gpu2", False)


def test_a_link_that_cannot_be_built_lets_the_next_one_try() -> None:
    world = World()
    world.trouble |= {"gpu": HANG, "cpu": HANG}
    with pytest.raises(ChainTimeoutError):
        world.ask()
    world.trouble.clear()
    world.unbuildable.add("gpu")
    with pytest.raises(EngineError, match="gpu: cannot be built: gpu is gone"):
        world.ask()
    assert world.ask() == ("cpu2", True)


def test_a_build_that_hangs_lets_the_next_link_try() -> None:
    world = World()
    world.trouble |= {"gpu": HANG, "cpu": HANG}
    with pytest.raises(ChainTimeoutError):
        world.ask()
    world.threads.slow = True
    gpu = world.chain._slots[0]
    gpu.building = world.threads.start(gpu.link.build)
    gpu.link = Link(
        name="gpu", device="GPU-0", model_id="model-gpu", timeout=0.0, build=gpu.link.build
    )
    with pytest.raises(EngineError):
        world.ask()
    world.threads.slow = False
    world.trouble.clear()
    assert world.ask() == ("cpu2", True)


def test_too_many_calls_that_hang_end_the_process() -> None:
    world = World(policy=ChainPolicy(max_abandoned=2))
    world.trouble |= {"gpu": HANG, "cpu": HANG}
    with pytest.raises(ChainTimeoutError):
        world.ask()
    assert world.ended == []
    with pytest.raises(ChainTimeoutError):
        world.ask()
    assert world.ended == ["3 calls of models hang, the last of gpu"]


def test_the_link_of_a_preferred_device_is_asked_first_and_stands_in_for_nobody() -> None:
    world = World("gpu", "cpu", "cloud")
    assert world.ask(prefer="CPU") == ("cpu1", False)
    assert world.ask(prefer="TPU") == ("gpu1", False)
    world.trouble["cpu"] = REFUSAL
    assert world.ask(prefer="CPU") == ("gpu1", True)


def test_a_single_link_is_called_where_it_stands() -> None:
    world = World("cpu")
    assert world.ask() == ("cpu1", False)
    assert world.threads.timeouts == []
    world.trouble["cpu"] = REFUSAL
    with pytest.raises(EngineError, match="cannot"):
        world.ask()
    assert (world.chain.state, world.told) == (LinkState.AVAILABLE, [])


def test_a_bug_is_not_a_failure_of_the_link() -> None:
    world = World()
    world.trouble["gpu"] = KeyError("bug")
    with pytest.raises(KeyError):
        world.ask()
    assert world.told == []


def test_a_chain_needs_links_with_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="at least one link"):
        World("cpu", "cpu")


def test_a_link_that_cannot_be_built_at_the_start_is_refused() -> None:
    link = Link(name="gpu", device="GPU-0", model_id="m", timeout=5.0, build=_missing)
    with pytest.raises(ConfigurationError, match="missing"):
        Chain([link])


def _missing() -> Tool:
    raise ConfigurationError("a file is missing")
