"""A small audit as a pipeline leaves it, made by the trading core and the audit store without processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.delivery import ORIGIN, Delivery, agent_digest, exec_digest
from pipeline.messages import Action, CandleIn, ControlIn, EventIn, Fate, decode_event, encode
from pipeline.storage.audit import SqliteAuditStore
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.instruments import Instruments
from pipeline.trading.outcome import outcome

START_US = 1_700_000_000_000_000


class Desk:
    """One key's way through agent, exec and audit."""

    def __init__(self, config: Config, key: str) -> None:
        self._agent = AgentLogic(config.trading)
        self._exec = ExecLogic(config.trading, config.exec)
        self._instruments = Instruments(config.trading)
        self._state_every = config.audit.state_every
        self._key = key
        self._key_seq = 0
        self._agent_state, self._exec_state = self._agent.origin(key), self._exec.origin(key)
        self._a = self._x = ORIGIN

    def handle(self, posted: EventIn, webhook_id: str, fate: Fate = Fate.LIVE) -> Delivery:
        """The complete row of one event."""
        self._key_seq += 1
        delivery = Delivery(
            self._key,
            self._key_seq,
            hashlib.sha256(webhook_id.encode()).digest()[:16],
            "demo",
            webhook_id,
            START_US + 1_000_000 * self._key_seq,
            fate,
            encode(self._instruments.inside(posted)),
            code="test",
        )
        decision = fills = None
        if delivery.live:
            event = decode_event(delivery.payload)
            self._agent_state, decision = self._agent.step(
                self._agent_state, event, key_seq=delivery.key_seq, at_us=delivery.accepted_us
            )
            self._exec_state, fills = self._exec.step(
                self._exec_state, event, decision, key_seq=delivery.key_seq
            )
            delivery.decision, delivery.fills = encode(decision), encode(fills)
        if self._key_seq % self._state_every == 0:
            delivery.agent_state = self._agent.encode(self._agent_state)
            delivery.exec_state = self._exec.encode(self._exec_state)
        delivery.a_prev, delivery.x_prev = self._a, self._x
        delivery.a = self._a = agent_digest(
            self._a, delivery.key_seq, fate, delivery.payload, delivery.decision
        )
        delivery.x = self._x = exec_digest(self._x, delivery.key_seq, self._a, delivery.fills)
        delivery.outcome = outcome(fate, decision, fills)
        return delivery


def candle(day: int, close: str = "10", symbol: str = "AAPL") -> CandleIn:
    """A flat daily candle in January 2001."""
    time = f"2001-01-{day:02d}T21:00:00Z"
    return CandleIn(symbol=symbol, time=time, open=close, high=close, low=close, close=close, volume="100")


def write_audit(config: Config, deliveries: Sequence[Delivery]) -> Path:
    """Stores them in order; returns the file."""
    folder = Path(config.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "audit.sqlite"
    store = SqliteAuditStore.open(file, config.audit.state_every)
    judged = store.append(deliveries)
    store.close()
    assert all(word.settled for word in judged)
    return file


def halt(reason: str = "") -> ControlIn:
    return ControlIn(action=Action.HALT, reason=reason)
