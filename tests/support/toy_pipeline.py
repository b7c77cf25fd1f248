"""A whole pipeline on the in-memory network, with steps small enough to check by hand.

The journal is a list that survives the gateway, the audit store one that survives everybody. `World`
posts events, kills and restarts nodes, and checks the contract: every accepted event is one row, in order,
and every row follows from the one before it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wires import MemoryWires, Wires

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.delivery import (
    ORIGIN,
    Delivery,
    Tail,
    agent_digest,
    decode_delivery,
    encode_delivery,
    exec_digest,
)
from pipeline.messages import Fate
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.held import Key, Work
from pipeline.transport.judge import Judge
from pipeline.transport.key_line import Pending
from pipeline.transport.memory import Weather, calm
from pipeline.transport.settings import Timing
from pipeline.transport.venue import Venue
from pipeline.transport.worker import Worker

TIMING = Timing(
    heartbeat_ns=25 * NS_PER_MS,
    dead_after_ns=100 * NS_PER_MS,
    ask_again_ns=30 * NS_PER_MS,
    credit=32,
    depth=8,
)


class PoisonError(Exception):
    pass


class ToyAgent:
    """Decides the running sum of all payloads so far; raises on the payload `poison`."""

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.steps = 0

    def origin(self, key: str) -> Any:
        return 0, ORIGIN

    def rebuild(self, tail: Tail) -> Any:
        state = int(tail.agent_state or b"0")
        for row in tail.rows:
            state = self._after(state, row)
        return state, tail.a

    def fits(self, state: Any, delivery: Delivery) -> bool:
        return True

    def step(self, state: Any, delivery: Delivery) -> Any:
        self.steps += 1
        if delivery.live and delivery.payload == b"poison":
            raise PoisonError
        total = self._after(state[0], delivery)
        delivery.code = self.version
        delivery.decision = b"%d/%s" % (total, self.version.encode())
        delivery.a_prev = state[1]
        delivery.a = agent_digest(
            state[1], delivery.key_seq, delivery.fate, delivery.payload, delivery.decision
        )
        delivery.agent_state = b"%d" % total
        return total, delivery.a

    @staticmethod
    def _after(total: int, delivery: Delivery) -> int:
        return total + int(delivery.payload) if delivery.live else total


class ToyExec:
    """Fills what was decided; its state is the count of fills."""

    def origin(self, key: str) -> Any:
        return 0, ORIGIN, ORIGIN

    def rebuild(self, tail: Tail) -> Any:
        return int(tail.exec_state or b"0") + sum(row.live for row in tail.rows), tail.x, tail.a

    def fits(self, state: Any, delivery: Delivery) -> bool:
        return bool(delivery.a_prev == state[2])

    def step(self, state: Any, delivery: Delivery) -> Any:
        count = state[0] + delivery.live
        delivery.fills = b"%d" % count
        delivery.x_prev = state[1]
        delivery.x = exec_digest(state[1], delivery.key_seq, delivery.a, delivery.fills)
        delivery.exec_state = b"%d" % count
        return count, delivery.x, delivery.a


def toy_steps(stage: str) -> ToyAgent | ToyExec:
    return ToyAgent() if stage == "agent" else ToyExec()


@dataclass
class ToyJudged:
    settled: bool
    last: int
    event_id: bytes
    unreadable: bool = False


@dataclass
class ToyStore:
    """Compare-and-append per key, shared by all audits, durable at once. States are kept every third row."""

    rows: dict[str, list[bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, batch: Sequence[Delivery]) -> list[ToyJudged]:
        with self._lock:
            return [self._judge(delivery) for delivery in batch]

    def _judge(self, delivery: Delivery) -> ToyJudged:
        rows = self.rows.setdefault(delivery.key, [])
        last = decode_delivery(rows[-1]) if rows else None
        recorded = (last.key_seq, last.a, last.x) if last else (0, ORIGIN, ORIGIN)
        if delivery.key_seq > recorded[0]:
            if (delivery.key_seq - 1, delivery.a_prev, delivery.x_prev) != recorded:
                return ToyJudged(False, recorded[0], b"")
            rows.append(encode_delivery(delivery))
            return ToyJudged(True, delivery.key_seq, delivery.event_id)
        assert last is not None
        return ToyJudged(True, recorded[0], last.event_id)

    def tail(self, key: str) -> Tail:
        rows = [decode_delivery(row) for row in list(self.rows.get(key, ()))]
        if not rows:
            return Tail(key, 0)
        stored = len(rows) - len(rows) % 3
        kept = rows[stored - 1] if stored else None
        return Tail(
            key, len(rows), rows[-1].a, rows[-1].x, stored,
            kept.agent_state if kept else b"", kept.exec_state if kept else b"",
            tuple(rows[stored:]), rows[-1].event_id,
        )  # fmt: skip


class World:
    """gateway-0, `agents`, `execs`, `audits` on a network, by default the one in memory."""

    def __init__(
        self,
        agents: int = 1,
        execs: int = 1,
        audits: int = 1,
        *,
        weather: Weather = calm,
        expire_after_us: int = 0,
        venue: tuple[int, int] | None = None,
        wires: Wires | None = None,
        steps: Callable[[str], Any] = toy_steps,
    ) -> None:
        """`venue`: each exec has one that answers after so many ns, so many orders at a time. `steps` makes
        those of a worker by its stage; `check` knows the toy ones only."""
        self.steps = steps
        self.venue = venue
        self.network: Wires = MemoryWires(TIMING, weather) if wires is None else wires
        self.network.weather = weather
        self.timing = self.network.timing
        self.store = ToyStore()
        self.journal: dict[str, list[Delivery]] = {}
        self.fates: dict[tuple[str, int], Fate] = {}
        self.settled: list[Delivery] = []
        self.marks: dict[str, int] = {}
        self.alarms: list[str] = []
        self.expire_after_us = expire_after_us
        self.died: dict[str, tuple[str, int]] = {}
        self._boots = 0
        self.counts = {"audit": audits, "exec": execs, "agent": agents, "gateway": 1}
        for stage, count in self.counts.items():
            for ordinal in range(count):
                self.start(f"{stage}-{ordinal}")

    # ---- life and death

    def start(self, name: str) -> None:
        self._boots += 1
        boot = self._boots * 1_000
        stage = name.split("-")[0]
        if stage == "gateway":
            self.network.add(self._gateway(name, boot))
        elif stage == "audit":
            self.network.add(Judge(name, boot, self.store.append, self.store.tail, self.timing, batch=8))
        else:
            steps = self.steps(stage)
            following = "exec" if stage == "agent" else "audit"
            died = self.died.pop(name, None)
            venue: Venue[tuple[Key, Work]] | None = None
            if stage == "exec" and self.venue is not None:
                venue = Venue(*self.venue, wants=lambda delivery: delivery.live)
            self.network.add(
                Worker(name, following, boot, steps, self.timing, max_keys=3, died_in_hand=died, venue=venue)
            )

    def kill(self, name: str) -> None:
        self.network.kill(name)

    def restart(self, name: str, after_ms: int = 5) -> None:
        self.kill(name)
        self.network.run(after_ms * NS_PER_MS)
        self.start(name)

    def _gateway(self, name: str, boot: int) -> Dispatcher:
        dispatcher = Dispatcher(
            name, boot, self.timing,
            on_settled=self._on_settled, on_fate=self._on_fate, on_alarm=self.alarms.append,
            expire_after_us=self.expire_after_us, wall_us=lambda: self.network.now_ns // 1_000,
        )  # fmt: skip
        for key, deliveries in self.journal.items():
            for delivery in deliveries[self.marks.get(key, 0) :]:
                delivery.fate = self.fates.get((key, delivery.key_seq), Fate.LIVE)
                dispatcher.enqueue(delivery, self.network.now_ns, dispatched=True)
        return dispatcher

    # ---- the gateway's owner

    def post(self, key: str, payload: bytes, *, control: bool = False) -> Delivery:
        """Accepts an event: in the journal, then dispatched."""
        deliveries = self.journal.setdefault(key, [])
        key_seq = len(deliveries) + 1
        delivery = Delivery(
            key, key_seq, b"%s:%d" % (key.encode(), key_seq), "toy", "", self.network.now_ns // 1_000,
            Fate.LIVE, payload,
        )  # fmt: skip
        deliveries.append(delivery)
        if self.gateway is not None:
            self.network.inside(
                "gateway-0",
                lambda gateway: gateway.enqueue(delivery, self.network.now_ns, control=control),
            )
        return delivery

    @property
    def gateway(self) -> Dispatcher | None:
        node = self.network.node("gateway-0")
        assert node is None or isinstance(node, Dispatcher)
        return node

    def worker(self, name: str) -> Worker:
        node = self.network.node(name)
        assert isinstance(node, Worker)
        return node

    def _on_settled(self, pending: Pending) -> None:
        delivery = pending.delivery
        row = decode_delivery(self.store.rows[delivery.key][delivery.key_seq - 1])
        assert row.event_id == delivery.event_id, "settled, but audit has no row of that event"
        self.marks[delivery.key] = delivery.key_seq
        self.settled.append(delivery)

    def _on_fate(self, key: str, key_seq: int, fate: Fate) -> None:
        self.fates[key, key_seq] = fate
        assert self.gateway is not None
        self.gateway.fated(key, key_seq, fate)
        self.network.wake("gateway-0")

    # ---- time and truth

    @property
    def accepted(self) -> int:
        return sum(map(len, self.journal.values()))

    @property
    def audited(self) -> int:
        return sum(map(len, list(self.store.rows.values())))

    def idle(self) -> bool:
        return self.gateway is not None and self.gateway.unsettled == 0 and self.audited == self.accepted

    def until(self, fact: Callable[[], bool], what: str, within_s: float = 5.0) -> None:
        """Runs until `fact()` holds."""
        assert self.network.run(int(within_s * self.network.patience * NS_PER_S), fact), what

    def settle(self, within_s: float = 5.0) -> None:
        """Runs until everything accepted is settled."""
        done = self.network.run(int(within_s * self.network.patience * NS_PER_S), self.idle)
        assert done, (
            f"not settled: {self.audited} of {self.accepted}: {self.gateway and self.gateway.statistics()}"
        )

    def check(self) -> None:
        """Journal = audited exactly once, in order, each row stepped from the recorded one before it."""
        assert not self.alarms
        for key, deliveries in self.journal.items():
            rows = [decode_delivery(row) for row in self.store.rows.get(key, ())]
            assert [row.event_id for row in rows] == [d.event_id for d in deliveries]
            a = x = ORIGIN
            total = count = 0
            for row in rows:
                assert row.fate == self.fates.get((key, row.key_seq), Fate.LIVE)
                total += int(row.payload) if row.live else 0
                count += row.live
                assert int(row.decision.split(b"/")[0]) == total
                assert row.fills == b"%d" % count
                assert (row.a_prev, row.x_prev) == (a, x)
                a, x = row.a, row.x


def rough(seed: int, lost: float = 0.01, doubled: float = 0.01, late: float = 0.02) -> Weather:
    """Weather that loses, doubles and delays (so reorders) frames, the same for the same seed."""
    dice = random.Random(seed)

    def weather(source: str, target: str) -> list[int]:
        if dice.random() < lost:
            return []
        delay_ns = int((0.1 + 0.5 * dice.random()) * NS_PER_MS)
        if dice.random() < late:
            delay_ns += int(60 * dice.random() * NS_PER_MS)
        return [delay_ns, delay_ns + NS_PER_MS] if dice.random() < doubled else [delay_ns]

    return weather
