"""The whole way of an event in one process: verified, parsed, decided, filled, judged; no network, no disk.

The stages' own steps on an audit in memory: what it costs here is what the stages' code costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.clock import NS_PER_MS, US_PER_S, Clock, SystemClock
from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.errors import InvalidEventError
from pipeline.messages import CandleIn, Fate, SignalIn, decode_decision, decode_fills
from pipeline.performance.manager import Call, Submission, Trade
from pipeline.performance.resources import ProcessMeter, Resources
from pipeline.signing import Secret, verify
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.gateway.parse import Parser
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.stages.throttled import denial_of, throttle_settings
from pipeline.storage.audit import MemoryAuditStore
from pipeline.telemetry.recorder import NullRecorder
from pipeline.trading.cores import agent_logic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.instruments import Instruments
from pipeline.trading.outcome import outcome
from pipeline.trading.throttle_view import iso_time
from pipeline.trading.walk import random_walk

SOURCE = "baseline"
SEED = 1337
TOLERANCE_S = 300
_SECRET = Secret(bytes(range(32)), SOURCE)


class Posted(NamedTuple):
    """A signed request, as the gateway gets it."""

    webhook_id: str
    timestamp: bytes
    signature: bytes
    body: bytes


class InProcessPipeline:
    """All four stages, called one after the other. Belongs to one thread."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        recorder = NullRecorder()
        meter = LinkMeter(recorder, MalformedFrames(Path(os.devnull), SOURCE))
        every = config.audit.state_every
        self._logic = agent_logic(config.trading, config.exec)
        self._agent = AgentSteps(self._logic, every, recorder, meter)
        self._exec = ExecSteps(ExecLogic(config.trading, config.exec), every, recorder)
        self._parse = Parser(Instruments(config.trading)).parse
        self._clock = clock or SystemClock()
        self._states: dict[str, tuple[Any, Any, int]] = {}
        self.audit = MemoryAuditStore(every)

    def sign(self, webhook_id: str, body: bytes) -> Posted:
        """What a sender does: `body` signed as of now."""
        timestamp = b"%d" % (self._clock.wall_us() // US_PER_S)
        head = b"%b.%b." % (webhook_id.encode(), timestamp)
        return Posted(webhook_id, timestamp, _SECRET.signature(head, body), body)

    def handle(self, posted: Posted) -> Delivery:
        """Takes one event of a key all the way; returns its audit row.

        Raises SignatureError or InvalidEventError as the gateway would; control events are not taken.
        """
        webhook_id, timestamp, signature, body = posted
        accepted_us = self._clock.wall_us()
        identity = webhook_id.encode()
        verify(
            (_SECRET,), identity, timestamp, signature, body,
            now_s=accepted_us // US_PER_S, tolerance_s=TOLERANCE_S,
        )  # fmt: skip
        key, payload, _, _ = self._parse(body)
        if key is None:
            raise InvalidEventError("type", "control events are not taken here")
        agent_state, exec_state, last = self._states.get(key) or self._origin(key)
        delivery = Delivery(
            key, last + 1, sha256(identity).digest()[:16], SOURCE, webhook_id, accepted_us,
            int(Fate.LIVE), payload,
        )  # fmt: skip
        agent_state = self._agent.step(agent_state, delivery)
        exec_state = self._exec.step(exec_state, delivery)
        decision, fills = decode_decision(delivery.decision), decode_fills(delivery.fills)
        delivery.outcome = outcome(delivery.fate, decision, fills)
        (judged,) = self.audit.append((delivery,))
        assert judged.appended, f"{webhook_id}: refused by an audit that has one writer"
        self._states[key] = agent_state, exec_state, last + 1
        return delivery

    def throttle_scopes(self, key: str) -> list[dict[str, Any]]:
        """The payload of every throttle scope of `key`."""
        agent_state, _, _ = self._states.get(key) or self._origin(key)
        return self._logic.throttle_scopes(agent_state[0])

    def _origin(self, key: str) -> tuple[Any, Any, int]:
        return self._agent.origin(key), self._exec.origin(key), 0


class InProcessManager:
    """A `performance.manager.Manager` on an `InProcessPipeline`.

    Raises InvalidEventError for a trade that the gateway would refuse.
    """

    name = "inprocess"
    measures = "signed webhook to audited row, in one process without network and disk"

    def __init__(
        self,
        config: Config,
        trade: Trade | None = None,
        *,
        clock: Clock | None = None,
        meter: ProcessMeter | None = None,
    ) -> None:
        trade = trade or Trade()
        self.symbol = trade.symbol
        self.strategy_id = trade.strategy_id
        self.trade_throttle = throttle_settings(config.trading.throttles, trade)
        self._config = config
        self._clock = clock or SystemClock()
        self._meter = meter or ProcessMeter()
        self._body = msgspec.json.encode(trade_signal(trade))
        self._pipeline = InProcessPipeline(config, self._clock)
        self._trades = 0
        self._rehearse()

    def submit(self, due_ns: int) -> Submission:
        """See `Manager.submit`; the lag is how late the trade began."""
        self._trades += 1
        posted = self._pipeline.sign(f"trade-{self._trades}", self._body)
        started_ns = self._clock.monotonic_ns()
        row = self._pipeline.handle(posted)
        ended_ns = self._clock.monotonic_ns()
        denial = denial_of(decode_decision(row.decision))
        return Submission(
            processing_ms=(ended_ns - started_ns) / NS_PER_MS,
            lag_ms=max(started_ns - due_ns, 0) / NS_PER_MS,
            ordered=denial.ordered,
            reasons=denial.reasons,
            throttle_state=denial.state,
            throttle_message=denial.message,
            retry_at=denial.retry_at,
        )

    def get_trade_throttle_scope_snapshots(self) -> list[dict[str, Any]]:
        return self._pipeline.throttle_scopes(self.symbol)

    def resources(self) -> Resources:
        return self._meter.read()

    def calls(self, count: int) -> Sequence[Call]:
        """Candles of a made-up market through a pipeline of their own: the same ones every time."""
        pipeline = InProcessPipeline(self._config, self._clock)
        sign = pipeline.sign
        return [
            partial(pipeline.handle, sign(f"candle-{number}", body))
            for number, body in enumerate(candle_bodies(self._config, self.symbol, count))
        ]

    def _rehearse(self) -> None:
        """One trade on the side: what is loaded and cached with the first is not its time."""
        aside = InProcessPipeline(self._config, self._clock)
        aside.handle(aside.sign("rehearsal", self._body))


def trade_signal(trade: Trade) -> SignalIn:
    """The signal that a trade is."""
    return SignalIn(trade.symbol, "buy", trade.strategy_id, trade.quantity, trade.price)


def candle_bodies(config: Config, symbol: str, count: int) -> Iterator[bytes]:
    """The JSON of `count` candles that fit the symbol's instrument."""
    instrument = Instruments(config.trading).of(symbol)
    tick, text = instrument.tick, instrument.price_text
    volume = instrument.quantity_text(instrument.lot * 1000)
    for candle in random_walk(symbol, count, SEED):
        yield msgspec.json.encode(
            CandleIn(
                symbol,
                iso_time(candle.time_us),
                text(candle.open * tick),
                text(candle.high * tick),
                text(candle.low * tick),
                text(candle.close * tick),
                volume,
            )
        )
