"""All nodes of one run, their disks and stores, and one clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline.delivery import Delivery, Tail
from pipeline.errors import DamagedError, MissingError
from pipeline.messages import Event, Fate
from pipeline.simulation.checks import (
    WatchedStore,
    agents_of,
    check_end,
    check_queues,
    check_settled,
    count_rows,
)
from pipeline.simulation.clients import Clients
from pipeline.simulation.gateway import NAME, Gateway
from pipeline.simulation.plan import FAULTS_MS, SETTLE_MS, Plan
from pipeline.simulation.story import Story, ViolationError
from pipeline.simulation.weather import Skies
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.appender import Appender
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.telemetry.recorder import NullRecorder
from pipeline.trading.exec import ExecLogic
from pipeline.transport.judge import Judge
from pipeline.transport.memory import MemoryNetwork, SimulatedDeathError
from pipeline.transport.steps import Steps
from pipeline.transport.worker import Worker

WALL_US = 1_700_000_000_000_000
CHECK_NS = 10 * NS_PER_MS
_NOWHERE = Path("/nonexistent")
DIES_AGAIN = 0.85
"""A poisonous event kills whoever steps it with this probability, so that some get through."""


class SimulatedClock:
    """The network's time as a clock."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def monotonic_ns(self) -> int:
        return self._network.now_ns

    def wall_us(self) -> int:
        return WALL_US + self._network.now_ns // NS_PER_US


class Hand:
    """What a worker has in hand; outlives it."""

    def __init__(self) -> None:
        self.held: tuple[str, int] | None = None

    def note(self, key: str, key_seq: int) -> None:
        self.held = (key, key_seq)

    def clear(self) -> None:
        self.held = None


class PoisonSteps:
    """Steps that die on poisonous events."""

    def __init__(self, inner: Steps, deadly: Callable[[Delivery], bool]) -> None:
        self._inner = inner
        self._deadly = deadly
        self.origin = inner.origin
        self.rebuild = inner.rebuild
        self.fits = inner.fits

    def step(self, state: Any, delivery: Delivery) -> Any:
        if self._deadly(delivery):
            raise SimulatedDeathError
        return self._inner.step(state, delivery)


class World:
    """One run of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dice = Random(plan.seed + 1)
        self.skies = Skies(plan, Random(plan.seed + 2))
        self.network = MemoryNetwork(plan.timing, self.skies.weather, self._died)
        self.skies.now_ns = lambda: self.network.now_ns
        self.story = Story(lambda: self.network.now_ns)
        self.store = WatchedStore(plan.state_every)
        self.clock = SimulatedClock(self.network)
        self.clients = Clients(plan, self.network, Random(plan.seed + 3), self._post)
        self.disk = MemoryDisk()
        self.gateway: Gateway | None = None
        self.fates: dict[tuple[str, int], Fate] = {}
        self.counts = {"audit": plan.audits, "exec": plan.execs, "agent": plan.agents}
        self._agents = agents_of(plan)
        self._hands: dict[str, Hand] = {}
        self._recorder = NullRecorder()
        self._meter = LinkMeter(self._recorder, MalformedFrames(_NOWHERE, "none"))
        for stage, count in self.counts.items():
            for ordinal in range(count):
                self.start(f"{stage}-{ordinal}")
        self.start(NAME)
        self.network.at(CHECK_NS, self._look)

    # ---- life and death

    def start(self, name: str) -> None:
        """Starts a node, unless it runs."""
        if self.network.node(name) is not None:
            return
        self.story.tell("start", name)
        stage = name.split("-")[0]
        if stage == "gateway":
            self._start_gateway()
        elif stage == "audit":
            self.network.add(self._judge(name))
        else:
            self.network.add(self._worker(name, stage))

    def _start_gateway(self) -> None:
        """A disk that fails while the journal is opened makes it try again, as its supervisor would."""
        try:
            self.gateway = Gateway(
                self.plan, self.network, self.clock, self.disk, self.dice, self.story,
                on_settled=self._settled, on_broken=self._broken,
            )  # fmt: skip
        except DamagedError as error:
            raise ViolationError(f"an honest disk is called damaged: {error}") from error
        except MissingError as error:
            self.story.tell("no start", str(error))
            self.network.at(50 * NS_PER_MS, self.start, NAME)

    def kill(self, name: str, down_ms: float, *, power: bool = False) -> None:
        """Ends a node as SIGKILL does, or with `power` the gateway's machine; starts it again later."""
        if self.network.node(name) is None:
            return
        self.story.tell("kill", f"{name} {'(power)' if power else ''}")
        if name == NAME:
            self._end_gateway(power=power)
        else:
            self.network.kill(name)
        self.network.at(int(down_ms * NS_PER_MS), self._restart, name)

    def _restart(self, name: str) -> None:
        stage, ordinal = name.split("-")
        if name == NAME or int(ordinal) < self.counts[stage]:
            self.start(name)

    def _end_gateway(self, *, power: bool) -> None:
        assert self.gateway is not None
        self.gateway.stop()
        self.disk = self.disk.power_cut(self.dice) if power else self.disk.copy()

    def _died(self, name: str) -> None:
        self.story.tell("died", f"{name} with {self._hands[name].held} in hand")
        self.network.at(int(self.dice.uniform(20, 60) * NS_PER_MS), self._restart, name)

    def _broken(self) -> None:
        """The gateway's disk failed: its process is ended and started again on what the platter has."""
        self.network.at(0, self.kill, NAME, self.dice.uniform(5, 50))

    def scale(self, stage: str, count: int) -> None:
        """Changes the number of workers; those that leave say GOODBYE first."""
        self.story.tell("scale", f"{stage} to {count}")
        self.counts[stage] = count
        for ordinal in range(count):
            self._start_or_stay(f"{stage}-{ordinal}")
        for ordinal in self.network.members(stage):
            node = self.network.node(f"{stage}-{ordinal}")
            if ordinal >= count and isinstance(node, Worker):
                node.leave()
                self.network.wake(node.name)
                self.network.at(100 * NS_PER_MS, self._leave, node)

    def _start_or_stay(self, name: str) -> None:
        """A worker that is leaving while it is wanted again goes first and comes back then."""
        node = self.network.node(name)
        if isinstance(node, Worker) and node.leaving:
            return
        self.start(name)

    def _leave(self, node: Worker) -> None:
        if self.network.node(node.name) is not node:
            return
        if not node.drained:
            self.network.at(50 * NS_PER_MS, self._leave, node)
            return
        self.network.kill(node.name)
        self._restart(node.name)

    # ---- nodes

    def _hand(self, name: str) -> tuple[Hand, tuple[str, int] | None]:
        """A new hand, and what the dead predecessor had in its own."""
        died = self._hands[name].held if name in self._hands else None
        hand = self._hands[name] = Hand()
        return hand, died

    def _worker(self, name: str, stage: str) -> Worker:
        config, every = self.plan.config, self.plan.state_every
        steps: Steps
        if stage == "agent":
            steps = AgentSteps(
                self.dice.choice(self._agents), every, self._recorder, self._meter, self.clock.wall_us
            )
        else:
            steps = ExecSteps(
                ExecLogic(config.trading, config.exec), every, self._recorder, self.clock.wall_us
            )
        hand, died = self._hand(name)
        return Worker(
            name, "exec" if stage == "agent" else "audit", self.clock.wall_us(),
            PoisonSteps(steps, lambda delivery: self._deadly(delivery, stage)), self.plan.timing,
            max_keys=self.plan.max_keys, died_in_hand=died, hand=hand,
        )  # fmt: skip

    def _judge(self, name: str) -> Judge:
        hand, died = self._hand(name)
        clock = self.clock
        appender = Appender(self.store, hand, self._recorder, clock.monotonic_ns, wall_us=clock.wall_us)

        def append(batch: Any) -> Any:
            for delivery in batch:
                hand.note(delivery.key, delivery.key_seq)
                if self._deadly(delivery, "audit"):
                    raise SimulatedDeathError
            return appender.append(batch)

        return Judge(
            name, self.clock.wall_us(), append, self._tail, self.plan.timing,
            batch=self.plan.batch, died_in_hand=died,
        )  # fmt: skip

    def _tail(self, key: str) -> Tail:
        return self.store.tail(key)

    def _deadly(self, delivery: Delivery, stage: str) -> bool:
        item = self.clients.sent.get(delivery.webhook_id)
        return item is not None and item.poison == stage and delivery.live and self.dice.random() < DIES_AGAIN

    # ---- events

    def _post(self, webhook_id: str, event: Event, answer: Callable[[], None]) -> None:
        if self.gateway is not None and self.gateway.alive and not self.skies.is_paused(NAME):
            self.gateway.post(webhook_id, event, answer)

    def _settled(self, delivery: Delivery) -> None:
        check_settled(self.store, delivery)
        self.fates[delivery.key, delivery.key_seq] = Fate(delivery.fate)

    # ---- the run

    def _look(self) -> None:
        check_queues(self.plan, self.network)
        self.network.at(CHECK_NS, self._look)

    def run(self) -> dict[str, int]:
        """Faults first, calm then. Raises ViolationError; returns counts of what happened."""
        self.network.run(FAULTS_MS * NS_PER_MS)
        self.skies.clear()
        for stage, count in self.counts.items():
            for ordinal in range(count):
                self.start(f"{stage}-{ordinal}")
        if not self.network.run(SETTLE_MS * NS_PER_MS, self._done):
            unsettled = self.gateway.dispatcher.unsettled if self.gateway else -1
            raise ViolationError(
                f"not settled {SETTLE_MS} ms after the faults: {unsettled} events, "
                f"{len(self.clients.unanswered)} unanswered"
            )
        check_end(self.plan, self.store, self.clients, self.fates)
        return {**self.story.counts, **count_rows(self.store), "frames": self.network.frames}

    def _done(self) -> bool:
        gateway = self.gateway
        return (
            gateway is not None
            and gateway.alive
            and not self.clients.unanswered
            and not gateway.dispatcher.unsettled
            and not gateway.journal.unsynced
        )
