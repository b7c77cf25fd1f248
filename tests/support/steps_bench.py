"""One key's deliveries through agent and exec, and the tails that an audit would answer with after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pipeline.clock import no_time
from pipeline.config import Config, resolve
from pipeline.delivery import Delivery, Tail
from pipeline.messages import Fate
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.gateway.parse import Parser
from pipeline.stages.inprocess import candle_bodies
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.storage.audit import MemoryAuditStore
from pipeline.telemetry.recorder import ListRecorder
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.instruments import Instruments

KEY = "AAPL"
ACCEPTED_US = 1_700_000_000_000_000
QUICK = resolve(
    {
        "trading": {
            "strategies": {"s": {"kind": "sma_cross", "fast": 2, "slow": 4}},
            "throttles": [{"name": "t", "max_trades": 2, "window_seconds": 86_400 * 30}],
        }
    }
)
"""Averages so short that a few candles order, fill and meet the throttle."""


class StepsBench:
    """Agent and exec steps of one configuration, with what they recorded."""

    def __init__(
        self,
        state_every: int,
        directory: Path,
        config: Config = QUICK,
        wall_us: Callable[[], int] = no_time,
    ) -> None:
        self.recorder = ListRecorder()
        self.meter = LinkMeter(self.recorder, MalformedFrames(directory, "agent-0"))
        agent = AgentLogic(config.trading, config.exec.fill_policy)
        self.agent = AgentSteps(agent, state_every, self.recorder, self.meter, wall_us)
        self.exec = ExecSteps(ExecLogic(config.trading, config.exec), state_every, self.recorder, wall_us)
        self.store = MemoryAuditStore(state_every)

    def tail(self) -> Tail:
        """As it comes over the wire."""
        return msgspec.msgpack.decode(msgspec.msgpack.encode(self.store.tail(KEY)), type=Tail)


def deliveries(count: int, tombstones: frozenset[int] = frozenset()) -> Iterator[Delivery]:
    """Candles as the gateway dispatches them; those numbered in `tombstones` have expired."""
    parse = Parser(Instruments(QUICK.trading)).parse
    for key_seq, body in enumerate(candle_bodies(QUICK, KEY, count), 1):
        key, payload, _, _ = parse(body)
        assert key == KEY
        fate = Fate.EXPIRED if key_seq in tombstones else Fate.LIVE
        identity = key_seq.to_bytes(4, "big") * 4
        yield Delivery(
            KEY, key_seq, identity, "demo", f"w{key_seq}", ACCEPTED_US + key_seq, int(fate), payload
        )
