"""Frames of a real run, mutated, given to the nodes that would receive them: toy steps or the product's."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from toy_pipeline import TIMING, ToyStore, World, rough, toy_steps

from pipeline.clock import NS_PER_MS
from pipeline.config import resolve
from pipeline.delivery import Delivery
from pipeline.errors import FrameError
from pipeline.messages import BUY, SELL, Candle, Fate, Signal, encode
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.telemetry.recorder import NullRecorder
from pipeline.trading.cores import agent_logic
from pipeline.trading.exec import ExecLogic
from pipeline.transport import wire
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.memory import MemoryNetwork
from pipeline.transport.worker import Worker

MOST_SENDERS = 1200
"""Sessions that all nodes together may hold: what limits.MAX_SENDERS allows one of them, and some."""
KEYS = 8
STATE_EVERY = 3
"""As the toy store keeps them."""


class Payload(Protocol):
    def __call__(self, number: int, key: str) -> bytes: ...


class Kind(NamedTuple):
    """Whose steps: `make` gives those of a stage, `payload` the event that they step."""

    make: Callable[[str], Any]
    payload: Payload


def toy_payload(number: int, key: str) -> bytes:
    return b"poison" if number == 70 else b"%d" % number


def real_payload(number: int, key: str) -> bytes:
    if number % 3:
        return encode(Candle(key, number * 60_000_000, 100, 120, 80, 90 + number % 20, 1000))
    return encode(Signal(key, "signal", (BUY, SELL, 0)[number % 9 // 3], 1, 100))


def real_steps(stage: str) -> Any:
    """The product's own, on a configuration with strategies, throttles and orders that rest."""
    recorder = NullRecorder()
    if stage == "agent":
        meter = LinkMeter(recorder, MalformedFrames(Path(os.devnull), stage))
        return AgentSteps(agent_logic(CONFIG.trading, CONFIG.exec), STATE_EVERY, recorder, meter)
    return ExecSteps(ExecLogic(CONFIG.trading, CONFIG.exec), STATE_EVERY, recorder)


CONFIG = resolve({})
KINDS = {"toy": Kind(toy_steps, toy_payload), "real": Kind(real_steps, real_payload)}


def captured(kind: Kind) -> list[bytes]:
    """Every kind of frame: a run in bad weather with restarts."""
    frames: list[bytes] = []
    original = MemoryNetwork._post

    def post(self: MemoryNetwork, source: str, target: str, way: bytes, data: bytes) -> None:
        frames.append(data)
        original(self, source, target, way, data)

    MemoryNetwork._post = post  # type: ignore[method-assign]
    try:
        world = World(agents=2, execs=2, weather=rough(1), steps=kind.make)
        for number in range(80):
            key = f"K{number % KEYS}"
            world.post(key, kind.payload(number, key))
            world.network.run(2 * NS_PER_MS)
            if number % 25 == 24:
                world.died["agent-0"] = ("K1", 1)
                world.restart("agent-0")
        world.settle(20)
    finally:
        MemoryNetwork._post = original  # type: ignore[method-assign]
    return frames


class Nodes:
    """One node of each kind, alive, with sessions open and events in flight."""

    def __init__(self, kind: Kind) -> None:
        store = ToyStore()
        self.now_ns = 1_000_000_000
        self.dispatcher = Dispatcher(
            "gateway-0", 1000, TIMING,
            on_settled=lambda _: None, on_fate=lambda *_: None, on_alarm=lambda _: None,
        )  # fmt: skip
        self.agent = Worker("agent-0", "exec", 2000, kind.make("agent"), TIMING, max_keys=5)
        self.exec = Worker("exec-0", "audit", 3000, kind.make("exec"), TIMING, max_keys=5)
        self.judge = Judge("audit-0", 4000, store.append, store.tail, TIMING, batch=8)
        for number in range(64):
            key, key_seq = f"K{number % KEYS}", number // KEYS + 1
            event_id, payload = b"%s:%d" % (key.encode(), key_seq), kind.payload(number, key)
            self.dispatcher.enqueue(Delivery(key, key_seq, event_id, "toy", "", 1, Fate.LIVE, payload), 1)
        self.tick()

    def tick(self) -> None:
        self.now_ns += 5 * NS_PER_MS
        self.dispatcher.set_members([0])
        self.agent.set_members([0], [0])
        self.exec.set_members([0], [0])
        for node in (self.dispatcher, self.agent, self.exec, self.judge):
            node.tick(self.now_ns)
            if not isinstance(node, Dispatcher):
                node.work(self.now_ns, 100)
            node.take(self.now_ns)

    def give(self, frame: wire.Frame, address: bytes) -> None:
        """To every node, as if it came from above, from below and as an answer to a question."""
        now_ns = self.now_ns
        self.dispatcher.from_down(0, frame, now_ns)
        for worker in (self.agent, self.exec):
            worker.from_up(address, frame, now_ns)
            worker.from_down(0, frame, now_ns)
            worker.from_ask(frame, now_ns)
        self.judge.from_up(address, frame, now_ns)

    def sizes(self) -> tuple[int, ...]:
        """Of everything that could grow."""
        nodes = (self.agent, self.exec, self.judge)
        return (
            sum(len(list(node._up)) for node in nodes),
            sum(node._up.depth for node in nodes),
            sum(len(worker._keys) for worker in (self.agent, self.exec)),
            sum(
                worker.statistics().inbox + worker.statistics().outputs for worker in (self.agent, self.exec)
            ),
            self.judge.depth,
            self.dispatcher.unsettled,
        )


def mutated(rng: random.Random, frames: list[bytes]) -> bytes:
    """One frame, changed a little or a lot; some still make sense."""
    data = bytearray(rng.choice(frames))
    kind = rng.randrange(7)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    elif kind == 2:
        place = rng.randrange(len(data))
        data[place:place] = rng.randbytes(rng.randint(1, 16))
    elif kind == 3:
        other = rng.choice(frames)
        data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]
    elif kind == 4:
        return rng.randbytes(rng.randint(0, 64))
    elif kind == 5:
        return _restructured(rng, bytes(data))
    return bytes(data)


def _restructured(rng: random.Random, data: bytes) -> bytes:
    """Well-formed msgpack with other values in it."""
    session, messages = msgspec.msgpack.decode(data)
    if rng.random() < 0.5:
        session = [rng.choice((1000, 2000, 3000, 4000, rng.getrandbits(63))), rng.randint(0, 5)]
    for message in messages:
        for place in range(1, len(message)):
            if rng.random() < 0.3:
                message[place] = _other(rng, message[place])
    rng.shuffle(messages)
    return msgspec.msgpack.encode([session, messages * rng.randint(0, 3)])


def _other(rng: random.Random, value: Any) -> Any:
    if isinstance(value, list):
        return [_other(rng, one) if rng.random() < 0.2 else one for one in value]
    if isinstance(value, int):
        return rng.choice((0, 1, -1, value + 1, value - 1, 2**63, 2**64 - 1, rng.getrandbits(20)))
    if isinstance(value, str):
        return rng.choice(("", "K1", "x" * 40, "gateway-0", f"s{rng.getrandbits(30)}", "\0"))
    return rng.choice((None, b"", rng.randbytes(16), "text", [], 0))


def fuzz(seed: int, cases: int, first: int = 0, steps: str = "toy") -> tuple[int, int]:
    """How many were frames and how many were not. Raises AssertionError that names seed and case."""
    kind = KINDS[steps]
    frames = captured(kind)
    accepted = refused = 0
    nodes = Nodes(kind)
    for case in range(first, first + cases):
        rng = random.Random(seed * 1_000_003 + case)
        data = mutated(rng, frames)
        try:
            frame = wire.decode_frame(data)
        except FrameError:
            refused += 1
            continue
        accepted += 1
        try:
            nodes.give(frame, b"peer-%d" % rng.randrange(4))
            if case % 5 == 0:
                nodes.tick()
        except Exception as error:
            raise AssertionError(f"seed {seed}, case {case}: {data.hex()}: {error!r}") from error
        senders, received, keys, queued, waiting, unsettled = nodes.sizes() if case % 100 == 0 else (0,) * 6
        assert senders <= MOST_SENDERS * 3, f"seed {seed}, case {case}: {senders} sessions"
        assert received <= 3 * 4096 * 8, f"seed {seed}, case {case}: {received} messages held"
        assert keys <= 20, f"seed {seed}, case {case}: {keys} keys"
        assert queued + waiting <= 3 * 4096 * 8, f"seed {seed}, case {case}: {queued + waiting} queued"
        assert unsettled <= 64, f"seed {seed}, case {case}: {unsettled} unsettled"
        if case % 2000 == 1999:
            nodes = Nodes(kind)
    return accepted, refused
