from collections.abc import Collection
from functools import partial

import pytest
from libs.inference.tests.fakes import FakeThreads, HangError

from inference.chain import Chain, ChainTimeoutError
from inference.choice import NoEngineError
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

    def __init__(
        self,
        *names: str,
        policy: ChainPolicy | None = None,
        unbuildable: Collection[str] = (),
        slow: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.threads = FakeThreads()
        self.threads.slow = slow
        self.trouble: dict[str, Exception] = {}
        self.unbuildable = set(unbuildable)
        self.warmed: list[str] = []
        self.cold: set[str] = set()
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
            warm_up=self._warm,
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
            raise NoEngineError(f"{name} is gone")
        self.built.append(name)
        return Tool(self, name)

    def _warm(self, tool: Tool) -> None:
        self.warmed.append(tool.name)
        if tool.name.rstrip("0123456789") in self.cold:
            raise REFUSAL


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


def test_a_gpu_that_is_away_at_the_start_is_built_and_restored_when_it_is_back() -> None:
    world = World(unbuildable={"gpu"})
    world.chain.warm_up()
    assert (world.warmed, [tool.name for tool in world.chain.tools]) == (["cpu1"], ["cpu1"])
    assert world.told == [("model_degraded", "gpu", "failed")]
    assert world.changes[0].reason == "cannot be built: gpu is gone"
    assert (world.chain.state, world.chain.serving.name) == (LinkState.DEGRADED, "cpu1")
    assert world.ask() == ("cpu1", True)
    world.clock.advance(5.0)
    assert [world.ask(), world.ask()] == [("cpu1", True)] * 2
    world.unbuildable.clear()
    world.clock.advance(10.0)
    assert [world.ask(), world.ask()] == [("cpu1", True), ("gpu1", False)]
    world.clock.advance(60.0)
    assert world.chain.state is LinkState.AVAILABLE
    assert world.told[1:] == [
        ("model_fallback", "gpu", "failed"),
        ("model_restored", "gpu", "available"),
    ]


def test_a_gpu_that_hangs_at_the_start_joins_once_it_is_built() -> None:
    world = World(policy=ChainPolicy(longest_start=0.01), slow=True)
    assert world.told == [("model_degraded", "gpu", "failed")]
    assert world.changes[0].reason == "was not built within 0.01 s"
    world.clock.advance(300.0)
    assert [world.ask(), world.ask()] == [("cpu1", True)] * 2
    assert world.built == ["cpu"]
    building = world.chain._slots[0].building
    assert building is not None
    building.set_result(Tool(world, "gpu"))
    assert world.ask() == ("gpu0", False)


def test_a_link_that_fails_while_it_is_warmed_is_left_alone_unless_it_is_the_last() -> None:
    world = World()
    world.cold.add("gpu")
    world.chain.warm_up()
    assert world.told == [("model_degraded", "gpu", "failed")]
    assert world.ask() == ("cpu1", True)
    world.cold.add("cpu")
    with pytest.raises(EngineError, match="cannot"):
        world.chain.warm_up()


def test_what_no_link_can_run_at_the_start_is_refused() -> None:
    with pytest.raises(NoEngineError, match="cpu is gone"):
        World(unbuildable={"gpu", "cpu"})
    with pytest.raises(NoEngineError, match="gpu is gone"):
        World("gpu", unbuildable={"gpu"})


def test_a_link_whose_file_is_missing_is_refused_whatever_comes_after_it() -> None:
    gpu, cpu = (
        Link(name=name, device=name, model_id="m", timeout=5.0, build=build)
        for name, build in (("gpu", _missing), ("cpu", object))
    )
    with pytest.raises(ConfigurationError, match="missing"):
        Chain([gpu])
    with pytest.raises(ConfigurationError, match="missing"):
        Chain[object]([gpu, cpu])


def fail(world: World, times: int) -> None:
    for _ in range(times):
        with pytest.raises(EngineError, match="cannot"):
            world.ask()


def test_a_single_link_that_fails_for_good_is_built_anew() -> None:
    world = World("cpu")
    world.trouble["cpu"] = REFUSAL
    fail(world, 7)
    assert (world.chain.state, world.told) == (LinkState.AVAILABLE, [])
    fail(world, 1)
    assert (world.chain.state, world.told) == (
        LinkState.FAILED,
        [("model_degraded", "cpu", "failed")],
    )
    fail(world, 20)
    world.trouble.clear()
    world.clock.advance(5.0)
    world.chain.run(Tool.ask)
    assert world.ask() == ("cpu2", False)
    assert (world.chain.state, world.built) == (LinkState.AVAILABLE, ["cpu"] * 2)
    assert world.told[1:] == [("model_restored", "cpu", "available")]


def test_a_single_link_that_stays_broken_is_built_anew_ever_more_rarely() -> None:
    world = World("cpu")
    world.trouble["cpu"] = REFUSAL
    fail(world, 8)
    for pause in (5.0, 10.0, 20.0):
        world.clock.advance(pause - 1)
        fail(world, 5)
        built = len(world.built)
        world.clock.advance(1)
        fail(world, 5)
        assert len(world.built) == built + 1
    assert [kind for kind, _, _ in world.told] == ["model_degraded"]


def test_a_link_that_is_left_alone_and_fails_for_good_is_built_anew() -> None:
    world = World(unbuildable={"gpu"})
    world.trouble["cpu"] = REFUSAL
    fail(world, 7)
    assert world.built == ["cpu"]
    fail(world, 24)
    assert world.built == ["cpu"] * 3
    world.trouble.clear()
    assert world.ask() == ("cpu3", True)
    assert [link for kind, link, _ in world.told if kind == "model_degraded"] == ["gpu"]
    world.trouble["cpu"] = REFUSAL
    fail(world, 8)
    assert world.built == ["cpu"] * 4


def test_failures_of_a_single_link_that_are_not_in_a_row_change_nothing() -> None:
    world = World("cpu")
    for _ in range(5):
        world.trouble["cpu"] = REFUSAL
        fail(world, 7)
        world.trouble.clear()
        assert world.ask() == ("cpu1", False)
    assert (world.chain.state, world.told) == (LinkState.AVAILABLE, [])


def _missing() -> Tool:
    raise ConfigurationError("a file is missing")
