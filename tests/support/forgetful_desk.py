"""Agents of one configuration that forget any key at any time, beside an oracle that forgets nothing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from throttle_oracle import FLATTEN, ThrottleOracle, Wish, told

from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.messages import Control, Decision, Event, Signal
from pipeline.trading.agent import AgentLogic
from pipeline.trading.scopes import Scopes
from pipeline.trading.state import State

START_US = 1_000 * US_PER_S
Row = tuple[Event, Decision, int]


class ForgetfulDesk:
    """Each event is decided by an agent of its own, which has the key's state from its bytes, from all its
    rows or from the agent before it. `scopes` makes what counts over symbols, once for each agent: what they
    share outlives them all."""

    def __init__(
        self, throttles: tuple[schema.Throttle, ...], scopes: Callable[[], Scopes], seed: int
    ) -> None:
        self._trading = schema.Trading(strategies={}, throttles=throttles)
        self._scopes = scopes
        self._random = Random(seed)
        self._states: dict[str, State] = {}
        self._rows: dict[str, list[Row]] = {}
        self.oracle = ThrottleOracle(throttles)
        self.denied = 0
        self._now_us = START_US

    def run(self, history: list[Wish]) -> None:
        """Asserts that every answer is the oracle's."""
        for wish in history:
            self._now_us += wish.after_us
            at_us = max(self._now_us - wish.late_s * US_PER_S, 0)
            if wish.side == FLATTEN:
                legs = self._decided(wish.symbol, Control("flatten", ""), at_us).legs
                assert set(map(told, legs)) == self.oracle.flatten(wish.symbol, at_us)
                self._decided(wish.symbol, Control("resume", ""), at_us)
                continue
            quantity = wish.quantity if wish.side else 0
            event = Signal(wish.symbol, wish.strategy, wish.side, quantity, wish.price)
            legs = self._decided(wish.symbol, event, at_us).legs
            found = [told(leg) for leg in legs if leg.intent]
            assert found == self.oracle.signal(wish, at_us)
            self.denied += any(leg.reasons for leg in legs)

    def positions(self) -> dict[tuple[str, str], int]:
        return {
            (slot.name, symbol): slot.position
            for symbol, state in self._states.items()
            for slot in state.slots
            if slot.position
        }

    def _agent(self) -> AgentLogic:
        return AgentLogic(self._trading, "signal_price", scopes=self._scopes())

    def _decided(self, symbol: str, event: Event, at_us: int) -> Decision:
        agent = self._agent()
        rows = self._rows.setdefault(symbol, [])
        state = self._states.get(symbol) or agent.origin(symbol)
        how = self._random.randrange(4)
        if how == 1:
            state = agent.decode(agent.encode(state))
        elif how > 1:
            # From the rows alone, or from those after a state that was stored.
            stored = self._random.randrange(len(rows) + 1) if how == 3 else 0
            again = agent.origin(symbol)
            for seq, (row, decided, when_us) in enumerate(rows, 1):
                again = agent.apply(again, row, decided, key_seq=seq, at_us=when_us)
                if seq == stored:
                    again = agent.decode(agent.encode(again))
            assert again == state
            state = again
        seq = len(rows) + 1
        after, decision = agent.step(state, event, key_seq=seq, at_us=at_us)
        if not self._random.randrange(3):
            other = self._agent()
            assert other.step(state, event, key_seq=seq, at_us=at_us) == (after, decision)
        self._states[symbol] = after
        rows.append((event, decision, at_us))
        return decision
