"""The protocol as a whole: nothing lost, doubled or reordered under any fault.

One body of tests over two networks, the one in memory and ZeroMQ's sockets, each with the same faults.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from toy_pipeline import TIMING, ToyAgent, ToyExec, World, rough
from versions import earlier, later
from wires import MemoryWires, Wires, ZeroMqWires

from pipeline.clock import NS_PER_MS
from pipeline.delivery import Tail
from pipeline.messages import Fate
from pipeline.transport.dispatcher import Dispatcher, DispatcherStatistics
from pipeline.transport.memory import calm
from pipeline.transport.settings import Timing

SLOWER = Timing(
    heartbeat_ns=25 * NS_PER_MS,
    dead_after_ns=500 * NS_PER_MS,
    ask_again_ns=40 * NS_PER_MS,
    credit=TIMING.credit,
    depth=TIMING.depth,
)
"""A machine with other things to do is silent for longer than a simulated one."""
SEEDS = {"memory": range(60), "zeromq": range(4)}


@pytest.fixture(params=SEEDS)
def wires(request: pytest.FixtureRequest) -> Iterator[Wires]:
    network: Wires = MemoryWires(TIMING) if request.param == "memory" else ZeroMqWires(SLOWER)
    yield network
    network.close()


def statistics(world: World) -> DispatcherStatistics:
    found = world.network.inside("gateway-0", Dispatcher.statistics)
    assert isinstance(found, DispatcherStatistics)
    return found


def links_are_up(world: World, count: int = 1) -> Callable[[], bool]:
    return lambda: sum(link.up for link in statistics(world).downlinks) == count


def test_every_accepted_event_becomes_one_row_in_order(wires: Wires) -> None:
    world = World(wires=wires)
    for n in range(100):
        world.post(f"k{n % 7}", b"%d" % n)
    world.settle()
    world.check()
    assert len(world.settled) == 100


def test_keys_spread_over_workers_and_stay_in_order(wires: Wires) -> None:
    world = World(agents=3, execs=2, wires=wires)
    world.until(links_are_up(world, 3), "three links")
    for n in range(300):
        world.post(f"k{n % 20}", b"%d" % n)
    world.settle()
    world.check()
    used = {name for name in ("agent-0", "agent-1", "agent-2") if world.worker(name).statistics().keys}
    assert len(used) > 1


@pytest.mark.parametrize("victim", ["agent-0", "exec-0", "audit-0", "gateway-0"])
def test_a_killed_process_loses_nothing(wires: Wires, victim: str) -> None:
    world = World(wires=wires)
    for n in range(60):
        world.post(f"k{n % 3}", b"%d" % n)
        if n in {10, 30}:
            world.network.run(3 * NS_PER_MS)
            world.restart(victim)
    world.settle()
    world.check()


@pytest.mark.parametrize("name", ["agent-1", "exec-1"])
def test_one_of_two_replicas_dies_for_good_and_the_other_takes_its_keys(wires: Wires, name: str) -> None:
    world = World(agents=2, execs=2, wires=wires)
    for n in range(80):
        world.post(f"k{n % 8}", b"%d" % n)
        if n == 40:
            world.network.run(3 * NS_PER_MS)
            world.kill(name)
    world.settle()
    world.check()


@pytest.mark.parametrize(("name", "steps"), [("agent-0", ToyAgent), ("exec-0", ToyExec)])
def test_a_key_that_cannot_be_rebuilt_waits_and_takes_no_other_with_it(
    wires: Wires, name: str, steps: type[ToyAgent | ToyExec], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(wires=wires)
    rebuild, asked, healed = steps.rebuild, [0], [False]

    def damaged(self: Any, tail: Tail) -> Any:
        if tail.key == "bad" and not healed[0]:
            asked[0] += 1
            raise ValueError("damaged")
        return rebuild(self, tail)

    def post(count: int) -> None:
        for n in range(count):
            world.post("bad" if n % 3 else f"k{n % 4}", b"%d" % n)

    post(30)
    world.settle()
    monkeypatch.setattr(steps, "rebuild", damaged)
    world.restart(name)
    post(30)
    started_ns = world.network.now_ns
    world.until(
        lambda: asked[0] >= 3 and world.audited == 40, "all but the bad key, which is asked for again"
    )
    waited_ns = world.network.now_ns - started_ns
    assert len(world.store.rows["bad"]) == 20
    assert asked[0] <= 2 + waited_ns // world.timing.ask_again_ns
    healed[0] = True
    world.settle()
    world.check()


def test_a_joining_worker_takes_only_its_share_and_a_leaving_one_finishes_first(wires: Wires) -> None:
    world = World(agents=1, wires=wires)
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
    world.start("agent-1")
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
        world.network.run(NS_PER_MS)
    world.until(links_are_up(world, 2), "two links")
    world.network.leave("agent-0")
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
    world.until(lambda: world.network.left("agent-0"), "agent-0 to have left")
    world.kill("agent-0")
    world.settle()
    world.check()


def test_an_event_that_breaks_the_step_three_times_is_dead_lettered_and_its_key_goes_on(
    wires: Wires,
) -> None:
    world = World(wires=wires)
    for payload in (b"1", b"poison", b"2"):
        world.post("k", payload)
    world.post("other", b"5")
    world.settle()
    world.check()
    assert world.fates == {("k", 2): Fate.DEAD_LETTERED}


def test_deaths_are_named_by_the_next_incarnation_and_only_distinct_ones_count(wires: Wires) -> None:
    """Both agents are told of each death of the exec they share, and both pass it on."""
    world = World(agents=2, wires=wires)
    told: list[int] = []

    def listen(gateway: Any) -> None:
        died = gateway._down._on_died

        def heard(key: str, key_seq: int, worker: str, boot: int) -> None:
            told.append(boot)
            died(key, key_seq, worker, boot)

        gateway._down._on_died = heard

    world.network.inside("gateway-0", listen)
    world.until(links_are_up(world, 2), "two links")
    world.kill("audit-0")  # nothing settles meanwhile
    world.kill("exec-0")
    world.post("k", b"1")
    for count in (1, 2, 3):
        assert not world.fates
        world.died["exec-0"] = ("k", 1)
        world.start("exec-0")
        world.until(lambda count=count: len(told) == 2 * count, "both agents to tell")  # type: ignore[misc]
        world.kill("exec-0")
    assert len(set(told)) == 3
    assert world.fates == {("k", 1): Fate.DEAD_LETTERED}
    world.start("exec-0")
    world.start("audit-0")
    world.settle()
    world.check()


def test_an_event_too_old_before_its_first_dispatch_expires_and_a_dispatched_one_never_does(
    wires: Wires,
) -> None:
    world = World(expire_after_us=400_000, wires=wires)
    world.until(links_are_up(world), "a link")
    world.kill("exec-0")
    world.post("k", b"1")
    world.until(lambda: statistics(world).downlinks[0].in_flight == 1, "its dispatch")
    world.kill("agent-0")
    world.until(links_are_up(world, 0), "the link's end")
    world.post("k", b"2")
    world.network.run(500 * NS_PER_MS)
    world.start("agent-0")
    world.start("exec-0")
    world.settle()
    world.check()
    assert world.fates == {("k", 2): Fate.EXPIRED}
    assert world.store.tail("k").last == 2


def test_in_flight_messages_of_one_key_never_exceed_its_share_of_the_credit(wires: Wires) -> None:
    world = World(wires=wires)
    world.until(links_are_up(world), "a link")
    world.kill("audit-0")

    def in_flight() -> int:
        (link,) = statistics(world).downlinks
        return link.credit - link.free

    most = 0
    for n in range(200):
        world.post("hot", b"%d" % n)
        most = max(most, in_flight())
    world.post("cold", b"1")
    world.until(lambda: in_flight() == world.timing.depth + 1, "both keys in flight")
    assert most <= world.timing.depth
    world.start("audit-0")
    world.settle()
    world.check()


def test_an_audit_with_another_event_at_a_key_seq_raises_an_alarm(wires: Wires) -> None:
    world = World(wires=wires)
    world.post("k", b"1")
    world.settle()
    world.kill("gateway-0")
    world.journal["k"].clear()
    world.marks.clear()
    other = world.post("k", b"1")
    other.event_id = b"another"
    world.start("gateway-0")
    world.until(lambda: bool(world.alarms), "an alarm")
    assert "another event at key_seq 1" in world.alarms[0]


@pytest.mark.parametrize("name", ["gateway-0", "agent-0", "exec-0", "audit-0"])
@pytest.mark.parametrize("change", [earlier, later], ids=["earlier", "later"])
def test_a_pipeline_with_one_worker_of_another_version_settles_everything(
    wires: Wires, name: str, change: Callable[[bytes], bytes]
) -> None:
    changed = []

    def alter(sender: str, frame: bytes) -> bytes:
        if sender != name:
            return frame
        changed.append(sender)
        return change(frame)

    wires.alter = alter
    world = World(agents=2, execs=2, wires=wires)
    for number in range(60):
        world.post(f"K{number % 4}", b"%d" % number)
        world.network.run(2 * NS_PER_MS)
        if number == 30:
            world.restart("agent-0")
            world.restart("exec-0")
    world.settle()
    world.check()
    assert changed


@pytest.mark.parametrize(
    ("network", "seed"), [(network, seed) for network, seeds in SEEDS.items() for seed in seeds]
)
def test_faults_of_every_kind_at_random_lose_double_and_reorder_nothing(network: str, seed: int) -> None:
    wires: Wires = MemoryWires(TIMING) if network == "memory" else ZeroMqWires(SLOWER)
    dice = random.Random(seed)
    world = World(
        agents=dice.randint(1, 3), execs=dice.randint(1, 3), audits=dice.randint(1, 2),
        weather=rough(seed), wires=wires,
    )  # fmt: skip
    names = [f"{stage}-{k}" for stage, count in world.counts.items() for k in range(count)]
    down: list[str] = []
    for n in range(150):
        payload = b"poison" if dice.random() < 0.01 else b"%d" % n
        if "gateway-0" not in down:
            world.post(f"k{dice.randint(0, 6)}", payload)
        if dice.random() < 0.1 and len(down) < 2:
            victim = dice.choice([name for name in names if name not in down])
            world.kill(victim)
            down.append(victim)
        elif down and dice.random() < 0.3:
            world.start(down.pop(0))
        world.network.run(dice.choice([0, 1, 5, 40]) * NS_PER_MS)
    for name in down:
        world.start(name)
    world.network.weather = calm
    world.settle(20.0)
    world.check()
    wires.close()


def test_a_key_goes_on_when_an_event_is_settled_while_its_fate_is_being_journalled(wires: Wires) -> None:
    """Found by the simulation: the fate of a settled event was waited for, and the key never moved again."""
    world = World(wires=wires)
    asked: list[int] = []
    world.until(links_are_up(world), "a link")
    late_ns = wires.timing.dead_after_ns * 6 // 10
    wires.weather = lambda source, target: [late_ns] if source == "audit-0" else calm(source, target)

    def deadly(gateway: Any) -> None:
        gateway._on_fate = lambda key, key_seq, fate: asked.append(key_seq)

    world.network.inside("gateway-0", deadly)
    for n in range(world.timing.depth + 4):  # more than may be in flight: the rest has to wait
        world.post("k", b"%d" % n)
    world.until(lambda: statistics(world).downlinks[0].in_flight == world.timing.depth, "their dispatch")

    def die(gateway: Any) -> None:
        for boot in (1, 2, 3):
            gateway._died("k", 1, "exec-0", boot)

    world.network.inside("gateway-0", die)
    assert asked == [1]
    world.until(lambda: bool(world.settled), "the first event to be settled")
    world.network.inside("gateway-0", lambda gateway: gateway.fated("k", 1, Fate.DEAD_LETTERED))
    world.settle()
    world.post("k", b"4")
    world.settle()
