"""The protocol as a whole, on the in-memory network: nothing lost, doubled or reordered under any fault."""

from __future__ import annotations

import random
from typing import Any

import pytest
from toy_pipeline import TIMING, ToyAgent, ToyExec, World, rough

from pipeline.clock import NS_PER_MS
from pipeline.delivery import Tail
from pipeline.messages import Fate
from pipeline.transport.memory import calm


def test_every_accepted_event_becomes_one_row_in_order() -> None:
    world = World()
    for n in range(100):
        world.post(f"k{n % 7}", b"%d" % n)
    world.settle()
    world.check()
    assert len(world.settled) == 100


def test_keys_spread_over_workers_and_stay_in_order() -> None:
    world = World(agents=3, execs=2)
    for n in range(300):
        world.post(f"k{n % 20}", b"%d" % n)
    world.settle()
    world.check()
    used = {name for name in ("agent-0", "agent-1", "agent-2") if world.worker(name).statistics().keys}
    assert len(used) > 1


@pytest.mark.parametrize("victim", ["agent-0", "exec-0", "audit-0", "gateway-0"])
def test_a_killed_process_loses_nothing(victim: str) -> None:
    world = World()
    for n in range(60):
        world.post(f"k{n % 3}", b"%d" % n)
        if n in {10, 30}:
            world.network.run(3 * NS_PER_MS)
            world.restart(victim)
    world.settle()
    world.check()


@pytest.mark.parametrize(("name", "steps"), [("agent-0", ToyAgent), ("exec-0", ToyExec)])
def test_a_key_that_cannot_be_rebuilt_waits_and_takes_no_other_with_it(
    name: str, steps: type[ToyAgent | ToyExec], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
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
    waited_ns = 20 * TIMING.ask_again_ns
    world.network.run(waited_ns)
    assert len(world.store.rows["bad"]) == 20
    assert world.audited == 40
    assert 2 <= asked[0] <= 1 + waited_ns // TIMING.ask_again_ns
    healed[0] = True
    world.settle()
    world.check()


def test_a_joining_worker_takes_only_its_share_and_a_leaving_one_finishes_first() -> None:
    world = World(agents=1)
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
    world.start("agent-1")
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
        world.network.run(NS_PER_MS)
    leaving = world.worker("agent-0")
    leaving.leave()
    for n in range(50):
        world.post(f"k{n % 10}", b"1")
    world.network.run(500 * NS_PER_MS, lambda: leaving.drained)
    assert leaving.drained
    world.kill("agent-0")
    world.settle()
    world.check()


def test_an_event_that_breaks_the_step_three_times_is_dead_lettered_and_its_key_goes_on() -> None:
    world = World()
    for payload in (b"1", b"poison", b"2"):
        world.post("k", payload)
    world.post("other", b"5")
    world.settle()
    world.check()
    assert world.fates == {("k", 2): Fate.DEAD_LETTERED}


def test_deaths_are_named_by_the_next_incarnation_and_only_distinct_ones_count() -> None:
    world = World()
    world.network.run(10 * NS_PER_MS)
    world.kill("exec-0")
    world.post("k", b"1")
    world.network.run(5 * NS_PER_MS)
    for _ in range(2):
        world.died["exec-0"] = ("k", 1)
        world.start("exec-0")
        world.network.run(2 * NS_PER_MS)
        world.kill("exec-0")
        world.network.run(300 * NS_PER_MS)
    assert not world.fates
    world.died["exec-0"] = ("k", 1)
    world.start("exec-0")
    world.settle()
    world.check()


def test_one_death_that_everybody_tells_is_one_death() -> None:
    """An exec names it to every agent, and each of them tells the gateway."""
    world = World(agents=4)
    world.network.run(10 * NS_PER_MS)
    for payload in (b"1", b"2"):
        world.kill("exec-0")
        world.post("k", payload)
        world.network.run(5 * NS_PER_MS)
        world.died["exec-0"] = ("k", 1)
        world.start("exec-0")
        world.network.run(2 * NS_PER_MS)
    world.settle()
    world.check()
    assert not world.fates


def test_a_control_event_is_never_given_up_however_many_die_of_it() -> None:
    world = World()
    world.post("k", b"poison", control=True)
    world.network.run(2_000 * NS_PER_MS)
    assert not world.fates
    assert world.gateway is not None
    assert world.gateway.unsettled == 1


def test_a_control_event_never_expires_however_long_it_waits() -> None:
    world = World(expire_after_us=50_000)
    world.kill("agent-0")
    world.network.run(200 * NS_PER_MS)
    world.post("k", b"1", control=True)
    world.post("k", b"2")
    world.network.run(100 * NS_PER_MS)
    world.start("agent-0")
    world.settle()
    world.check()
    assert world.fates == {("k", 2): Fate.EXPIRED}


def test_an_event_too_old_before_its_first_dispatch_expires_and_a_dispatched_one_never_does() -> None:
    world = World(expire_after_us=50_000)
    world.post("k", b"1")
    world.settle()
    world.kill("agent-0")
    world.network.run(200 * NS_PER_MS)
    world.post("k", b"2")
    world.network.run(100 * NS_PER_MS)
    world.start("agent-0")
    world.settle()
    world.check()
    assert world.fates == {("k", 2): Fate.EXPIRED}
    assert world.store.tail("k").last == 2


def test_in_flight_messages_of_one_key_never_exceed_its_share_of_the_credit() -> None:
    world = World()
    world.network.run(5 * NS_PER_MS)
    world.kill("audit-0")
    for n in range(200):
        world.post("hot", b"%d" % n)
    world.post("cold", b"1")
    world.network.run(50 * NS_PER_MS)
    gateway = world.gateway
    assert gateway is not None
    (link,) = gateway.statistics().downlinks
    assert link.credit - link.free == TIMING.depth + 1
    world.start("audit-0")
    world.settle()
    world.check()


def test_an_audit_with_another_event_at_a_key_seq_raises_an_alarm() -> None:
    world = World()
    world.post("k", b"1")
    world.settle()
    world.journal["k"].clear()
    world.marks.clear()
    world.kill("gateway-0")
    world.start("gateway-0")
    other = world.post("k", b"1")
    other.event_id = b"another"
    world.network.run(100 * NS_PER_MS)
    assert "another event at key_seq 1" in world.alarms[0]


@pytest.mark.parametrize("seed", range(60))
def test_faults_of_every_kind_at_random_lose_double_and_reorder_nothing(seed: int) -> None:
    dice = random.Random(seed)
    world = World(
        agents=dice.randint(1, 3), execs=dice.randint(1, 3), audits=dice.randint(1, 2), weather=rough(seed)
    )
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


def test_a_key_goes_on_when_an_event_is_settled_while_its_fate_is_being_journalled() -> None:
    """Found by the simulation: the fate of a settled event was waited for, and the key never moved again."""
    world = World()
    asked: list[int] = []
    world.network.run(30 * NS_PER_MS)
    gateway = world.gateway
    assert gateway is not None
    gateway._on_fate = lambda key, key_seq, fate: asked.append(key_seq)
    for n in range(TIMING.depth + 4):  # more than may be in flight: the rest has to wait
        world.post("k", b"%d" % n)
    world.network.run(NS_PER_MS // 5)
    for boot in (1, 2, 3):
        gateway._died("k", 1, "exec-0", boot)
    assert asked == [1]
    world.network.run(300 * NS_PER_MS, lambda: bool(world.settled))
    assert world.settled
    gateway.fated("k", 1, Fate.DEAD_LETTERED)
    world.network.wake("gateway-0")
    world.settle()
    world.post("k", b"4")
    world.settle()
