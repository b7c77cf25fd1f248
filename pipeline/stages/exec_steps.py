"""What exec does with a delivery: fill what was decided, and digest the fills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.clock import no_time
from pipeline.delivery import ORIGIN, Delivery, Tail, exec_digest
from pipeline.messages import Verdict, decode_decision, decode_event, decode_fills, encode
from pipeline.telemetry.events import EventID
from pipeline.telemetry.recorder import Recorder
from pipeline.trading.exec import ExecLogic
from pipeline.trading.fill_register import FillRegister
from pipeline.transport.settings import correlation_of

ORDERED = int(Verdict.ORDERED)
FILL_GENERATION = int(EventID.FILL_GENERATION)
"""A plain int: looking a member up in an enumeration costs more than the entry."""

State = tuple[Any, bytes, bytes]
"""The trading core's state of a key, its digest `x`, and the agent's digest `a` that it follows."""


class ExecSteps:
    """transport.Steps on trading.ExecLogic."""

    def __init__(
        self,
        logic: ExecLogic,
        state_every: int,
        recorder: Recorder,
        wall_us: Callable[[], int] = no_time,
    ) -> None:
        """`wall_us` tells when an event was executed, for people."""
        self._wall_us = wall_us
        self._logic = logic
        self._state_every = state_every
        self._start = recorder.start
        self._end = recorder.end
        self._answered_after_ns = 0

    def origin(self, key: str) -> State:
        return self._logic.origin(key), ORIGIN, ORIGIN

    def rebuild(self, tail: Tail) -> State:
        logic = self._logic
        state = logic.decode(tail.exec_state) if tail.stored_seq else logic.origin(tail.key)
        register = FillRegister(tail.key)
        for row in tail.rows:
            if row.live:
                event, decision = decode_event(row.payload), decode_decision(row.decision)
                fills, key_seq = decode_fills(row.fills), row.key_seq
                state = logic.apply(state, event, decision, fills, key_seq=key_seq, register=register)
        return state, tail.x, tail.a

    def fits(self, state: State, delivery: Delivery) -> bool:
        return delivery.a_prev == state[2]

    def orders(self, delivery: Delivery) -> bool:
        """Whether its decision orders anything, so that a venue has to answer."""
        return delivery.live and any(
            leg.verdict == ORDERED for leg in decode_decision(delivery.decision).legs
        )

    def answered(self, after_ns: int) -> None:
        """A venue took so long for what is stepped next: its fill took that long."""
        self._answered_after_ns = after_ns

    def step(self, state: State, delivery: Delivery) -> State:
        inner, x_prev, _ = state
        started_ns = self._start(FILL_GENERATION, correlation := correlation_of(delivery.event_id))
        if delivery.live:
            event, decision = decode_event(delivery.payload), decode_decision(delivery.decision)
            inner, fills = self._logic.step(inner, event, decision, key_seq=delivery.key_seq)
            delivery.fills = encode(fills)
        delivery.x_prev = x_prev
        delivery.x = exec_digest(x_prev, delivery.key_seq, delivery.a, delivery.fills)
        if delivery.key_seq % self._state_every == 0:
            delivery.exec_state = self._logic.encode(inner)
        delivery.executed_us = self._wall_us()
        self._end(FILL_GENERATION, started_ns - self._answered_after_ns, correlation)
        self._answered_after_ns = 0
        return inner, delivery.x, delivery.a
