"""All nodes of one run, their disks and stores, and one clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_US, US_PER_S
from pipeline.delivery import Delivery, Tail
from pipeline.errors import DamagedError, MissingError
from pipeline.messages import Control, Event
from pipeline.simulation.checks import (
    WatchedStore,
    agents_of,
    check_end,
    check_queues,
    check_settled,
    count_rows,
    execs_of,
)
from pipeline.simulation.clients import Clients
from pipeline.simulation.gateway import NAME, SOURCE, Gateway
from pipeline.simulation.ledger import Ledger
from pipeline.simulation.plan import FAULTS_MS, SETTLE_MS, Plan
from pipeline.simulation.story import Story, ViolationError
from pipeline.simulation.weather import Skies
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.appender import REFUSED, Appender
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.storage.audit.store import Judged
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.telemetry.recorder import NullRecorder
from pipeline.transport.judge import Judge
from pipeline.transport.memory import MemoryNetwork, SimulatedDeathError
from pipeline.transport.steps import Steps
from pipeline.transport.worker import Worker

WALL_US = 1_700_000_000_000_000
CHECK_NS = 10 * NS_PER_MS
_NOWHERE = Path("/nonexistent")
LATER_S = (0, 3, 3)
"""The time that passes before the second part."""
SMALL_BYTES = 8 * limits.KIB
"""A journal this small goes round within the events of a last sickness."""
SICK_MS = 1_000
CONTROL_KILLS = 5
"""A control event is never given up, so that a poisonous one must lose its power."""
MOST_SEGMENTS = 30
DIES_AGAIN = 0.85
"""A poisonous event kills whoever steps it with this probability, so that some get through."""


class SimulatedClock:
    """The network's time as a clock."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self.stepped_us = 0
        """By how much the wall clock was stepped."""

    def monotonic_ns(self) -> int:
        return self._network.now_ns

    def wall_us(self) -> int:
        return self.right_us() + self.stepped_us

    def right_us(self) -> int:
        """The wall clock of a machine that is never wrong."""
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
        self.ledger = Ledger(SOURCE, plan.config.journal.retention_s)
        self.counts = {"audit": plan.audits, "exec": plan.execs, "agent": plan.agents}
        self._agents = agents_of(plan)
        self._execs = execs_of(plan)
        self._hands: dict[str, Hand] = {}
        self._killed: Counter[tuple[str, int]] = Counter()
        """By event, how many it has killed."""
        self._sick: dict[str, int] = {}
        """Keys that the audit refuses, and until when (ns)."""
        self.store_fails = ""
        """How the audit's next commit fails: "full", "before" or "after" it is done; "": not at all."""
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
                self.plan, self.network, self.clock, self.disk, self.dice, self.story, self.ledger,
                self.store.by_key,
                on_settled=self._settled, on_broken=self._broken,
            )  # fmt: skip
        except DamagedError as error:
            raise ViolationError(f"an honest disk is called damaged: {error}") from error
        except MissingError as error:
            self.story.tell("no start", str(error))
            self.network.at(50 * NS_PER_MS, self.start, NAME)

    def kill(self, name: str, down_ms: float, power: bool = False) -> None:
        """Ends a node as SIGKILL does, or with `power` the gateway's machine; starts it again later."""
        if self.network.node(name) is None:
            return
        self.story.tell("kill", f"{name} {'(power)' if power else ''}")
        if name == NAME:
            self._end_gateway(power=power)
            self.step_clock()
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
        held = self._hands[name].held
        self.story.tell("died", f"{name} with {held} in hand")
        if held is not None:
            self.ledger.died(*held)
            self._killed[held] += 1
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
        every = self.plan.state_every
        steps: Steps
        if stage == "agent":
            steps = AgentSteps(
                self.dice.choice(self._agents), every, self._recorder, self._meter, self.clock.right_us
            )
        else:
            steps = ExecSteps(self.dice.choice(self._execs), every, self._recorder, self.clock.right_us)
        hand, died = self._hand(name)
        return Worker(
            name, "exec" if stage == "agent" else "audit", self.clock.wall_us(),
            PoisonSteps(steps, lambda delivery: self._deadly(delivery, stage)), self.plan.timing,
            max_keys=self.plan.max_keys, died_in_hand=died, hand=hand,
        )  # fmt: skip

    def _judge(self, name: str) -> Judge:
        hand, died = self._hand(name)
        clock = self.clock
        appender = Appender(self.store, hand, self._recorder, clock.monotonic_ns, wall_us=clock.right_us)

        def append(batch: Any) -> Any:
            for delivery in batch:
                hand.note(delivery.key, delivery.key_seq)
                if self._deadly(delivery, "audit"):
                    raise SimulatedDeathError
            well = [delivery for delivery in batch if not self._is_sick(delivery.key)]
            words = iter(self._commit(appender, hand, well))
            return [REFUSED if self._is_sick(delivery.key) else next(words) for delivery in batch]

        return Judge(
            name, self.clock.wall_us(), append, self._tail, self.plan.timing,
            batch=self.plan.batch, died_in_hand=died,
        )  # fmt: skip

    def _commit(self, appender: Appender, hand: Hand, batch: Sequence[Delivery]) -> Sequence[Judged]:
        """Appends; where the store fails the worker ends, and nobody hears what was committed."""
        fails, self.store_fails = self.store_fails, ""
        if fails == "full":
            self.store.full = True
        elif fails == "before":
            hand.clear()
            raise SimulatedDeathError
        try:
            words = appender.append(batch)
        finally:
            self.store.full = False
        if fails == "after":
            raise SimulatedDeathError
        return words

    def sicken(self, key: str, duration_ms: float) -> None:
        """The audit refuses all rows of a key for a while, as on a full disk."""
        self.story.tell("sick", f"{key} for {duration_ms:.0f} ms")
        self._sick[key] = self.network.now_ns + int(duration_ms * NS_PER_MS)

    def _is_sick(self, key: str) -> bool:
        return self._sick.get(key, 0) > self.network.now_ns

    def _tail(self, key: str) -> Tail:
        return self.store.tail(key)

    def _deadly(self, delivery: Delivery, stage: str) -> bool:
        item = self.clients.sent.get(delivery.webhook_id)
        if item is None or item.poison != stage or not delivery.live:
            return False
        if isinstance(item.event, Control) and self._killed[delivery.key, delivery.key_seq] >= CONTROL_KILLS:
            return False
        return self.dice.random() < DIES_AGAIN

    # ---- events

    def _post(self, webhook_id: str, event: Event, answer: Callable[[], None]) -> None:
        if self.gateway is not None and self.gateway.alive and not self.skies.is_paused(NAME):
            self.gateway.post(webhook_id, event, answer)

    def _settled(self, delivery: Delivery) -> None:
        check_settled(self.store, delivery)

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
        self._settle()
        if self.plan.config.journal.max_bytes <= SMALL_BYTES:
            self._last_sickness()
        self._once_more()
        self._settle()
        check_end(self.plan, self.store, self.clients, self.ledger)
        return {**self.story.counts, **count_rows(self.store), "frames": self.network.frames}

    def _settle(self) -> None:
        if not self.network.run(SETTLE_MS * NS_PER_MS, self._done):
            unsettled = self.gateway.dispatcher.unsettled if self.gateway else -1
            raise ViolationError(
                f"not settled {SETTLE_MS} ms after the faults: {unsettled} events, "
                f"{len(self.clients.unanswered)} unanswered"
            )

    def _last_sickness(self) -> None:
        """One key's events stay, one of them given up, while the journal is freed under them."""
        self.sicken("K0", SICK_MS)
        self.clients.busy_while("K0")
        self.network.run(SICK_MS * NS_PER_MS // 2)

    def _once_more(self) -> None:
        """When all is settled and tidied up, the gateway's machine goes, its clock is wrong when it comes
        back, and everybody repeats what was answered long ago, with new events after it."""
        short = self.plan.config.journal.retention_s < FAULTS_MS // 1_000
        if short:  # who repeats once the clock was stepped beyond retention posts another event
            self.network.run(SETTLE_MS * NS_PER_MS, lambda: not self.clients.unanswered)
        self.clock.stepped_us += (max(LATER_S) if short else self.dice.choice(LATER_S)) * US_PER_S
        self._tidy()
        self.kill(NAME, 5, power=self.dice.random() < 0.5)
        if short:  # nothing is left that tells the last accept time but what was carried
            self.clock.stepped_us = -2 * max(LATER_S) * US_PER_S
        self.clients.once_more(within_retention=not short)

    def _tidy(self) -> None:
        """Maintains the journal until nothing of it can be freed any more."""
        for _ in range(MOST_SEGMENTS):
            if self.gateway is None or not self.gateway.alive:
                return
            before = self.gateway.journal.bytes_used
            self.gateway.tidy()
            self.network.run(10 * NS_PER_MS)
            self.gateway.tidy()
            if self.gateway.journal.bytes_used >= before:
                return

    def step_clock(self) -> None:
        """The wall clock is wrong from now on, or right again. Only called where the gateway ends: one that
        runs is not ready after a step."""
        self.clock.stepped_us = int(self.dice.choice([0, self.dice.uniform(-6, 1)]) * US_PER_S)

    def _done(self) -> bool:
        gateway = self.gateway
        return (
            gateway is not None
            and gateway.alive
            and not self.clients.unanswered
            and not gateway.dispatcher.unsettled
            and not gateway.journal.unsynced
        )
