"""What gives an event up, and what never does: deaths that are really different, controls, age."""

from __future__ import annotations

from toy_pipeline import World

from pipeline.clock import NS_PER_MS
from pipeline.messages import Fate


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
