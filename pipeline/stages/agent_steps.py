"""What an agent does with a delivery: decide it by the trading core, and digest what was decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.clock import no_time
from pipeline.delivery import ORIGIN, Delivery, Tail, agent_digest
from pipeline.messages import Verdict, decode_event, encode
from pipeline.stages.agent_state import applied
from pipeline.stages.meter import LinkMeter
from pipeline.telemetry.events import EventID
from pipeline.telemetry.recorder import Recorder
from pipeline.trading.agent import AgentLogic
from pipeline.transport.settings import correlation_of

AGENT_DECISION = int(EventID.AGENT_DECISION)
"""A plain int: looking a member up in an enumeration costs more than the entry."""

State = tuple[Any, bytes]
"""The trading core's state of a key and its digest `a`."""


class AgentSteps:
    """transport.Steps on trading.AgentLogic."""

    def __init__(
        self,
        logic: AgentLogic,
        state_every: int,
        recorder: Recorder,
        meter: LinkMeter,
        wall_us: Callable[[], int] = no_time,
    ) -> None:
        """`wall_us` tells when an event was decided, for people."""
        self._wall_us = wall_us
        self._logic = logic
        self._state_every = state_every
        self._start = recorder.start
        self._end = recorder.end
        self._meter = meter

    def origin(self, key: str) -> State:
        return self._logic.origin(key), ORIGIN

    def rebuild(self, tail: Tail) -> State:
        logic = self._logic
        stored = logic.decode(tail.agent_state) if tail.stored_seq else logic.origin(tail.key)
        return applied(logic, stored, tail.rows), tail.a

    def fits(self, state: State, delivery: Delivery) -> bool:  # noqa: ARG002 - nothing precedes the agent
        return True

    def step(self, state: State, delivery: Delivery) -> State:
        inner, a_prev = state
        started_ns = self._start(AGENT_DECISION, correlation := correlation_of(delivery.event_id))
        if delivery.live:
            event = decode_event(delivery.payload)
            inner, decision = self._logic.step(
                inner, event, key_seq=delivery.key_seq, at_us=delivery.accepted_us
            )
            delivery.decision = encode(decision)
            for leg in decision.legs:
                if leg.verdict == Verdict.DENIED:
                    self._meter.trade_throttled += 1
        delivery.code = self._logic.code
        delivery.a_prev = a_prev
        delivery.a = agent_digest(
            a_prev, delivery.key_seq, delivery.fate, delivery.payload, delivery.decision
        )
        if delivery.key_seq % self._state_every == 0:
            delivery.agent_state = self._logic.encode(inner)
        delivery.decided_us = self._wall_us()
        self._end(AGENT_DECISION, started_ns, correlation)
        return inner, delivery.a
