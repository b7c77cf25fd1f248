"""What goes wrong in a run, and when: drawn from the seed before anything happens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pipeline.clock import NS_PER_MS
from pipeline.messages import Control
from pipeline.simulation.gateway import NAME
from pipeline.simulation.plan import FAULTS_MS
from pipeline.simulation.world import World
from pipeline.storage.journal.memory_disk import When

MOST_WORKERS = 4
KINDS = (
    "pause", "pause", "kill", "kill", "cut", "scale", "gateway", "power", "disk", "disk", "outage", "sick",
    "store",
)  # fmt: skip

OPERATIONS = ("sync", "sync", "sync", "write", "create", "rename", "unlink", "sync_names", "read")
WHEN: tuple[When, ...] = ("before", "during", "after")


def schedule(world: World) -> None:
    """Puts the plan's faults on the world's agenda."""
    dice = Random(world.plan.seed + 4)
    for _ in range(world.plan.fault_count):
        at_ms = dice.uniform(50, FAULTS_MS)
        kind, salt = dice.choice(KINDS), dice.random()
        world.network.at(int(at_ms * NS_PER_MS), _strike, world, kind, Random(salt))


def _strike(world: World, kind: str, dice: Random) -> None:
    names = sorted(node.name for node in world.network.nodes())
    if not names:
        return
    if kind in _IN_STORES:
        _IN_STORES[kind](world, dice)
        return
    name = dice.choice(names)
    if kind == "pause":
        duration_ms = dice.choice([30, 150, 300, 700])
        world.story.tell("pause", f"{name} for {duration_ms} ms")
        world.skies.pause(name, duration_ms)
        world.network.pause(name, duration_ms * NS_PER_MS)
    elif kind == "kill":
        world.kill(name, dice.choice([5, 50, 300]))
    elif kind == "gateway":
        world.kill(NAME, dice.choice([5, 50, 300]))
    elif kind == "power":
        world.kill(NAME, dice.choice([5, 50, 300]), power=True)
    elif kind == "cut":
        other = dice.choice(names)
        world.story.tell("cut", f"{name} from {other}")
        world.skies.cut(name, other, dice.uniform(50, 500), both=dice.random() < 0.5)
    else:
        world.scale(dice.choice(["agent", "exec"]), dice.randint(1, MOST_WORKERS))


def _disk(world: World, dice: Random) -> None:
    operation, when = dice.choice(OPERATIONS), dice.choice(WHEN)
    world.story.tell("disk", f"the next {operation} fails {when}")
    world.disk.fail(operation, when=when)
    if dice.random() < 0.5:  # what a failed sync lost is missed when the page cache is gone
        world.network.at(int(dice.uniform(50, 400) * NS_PER_MS), world.kill, NAME, 5, True)


def _sick(world: World, dice: Random) -> None:
    poisonous = [item.event for item in world.clients.sent.values() if item.poison]
    keys = [event.symbol for event in poisonous if not isinstance(event, Control)]
    world.sicken(dice.choice([*keys, "K0"]), dice.choice([100, 600, 1_500]))


def _store(world: World, dice: Random) -> None:
    world.store_fails = dice.choice(["full", "before", "after"])
    world.story.tell("store", f"the audit's next commit fails: {world.store_fails}")


def _outage(world: World, dice: Random) -> None:
    if dice.random() < 0.5:
        down_ms = dice.choice([150, 500, 1_300])
        for ordinal in range(world.counts["audit"]):
            world.kill(f"audit-{ordinal}", down_ms)


_IN_STORES: dict[str, Callable[[World, Random], None]] = {
    "disk": _disk,
    "sick": _sick,
    "store": _store,
    "outage": _outage,
}
