"""The agent's logic: a pure function of a key's event sequence, `step(state, event) → (state, decision)`.

The event's own time is the clock: a candle's close, a signal's accept time, never falling within a key. A
control takes the clock as it stands, a flatten what has passed since (`state.flatten_us`): neither carries
a replay of old candles to today.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline import limits
from pipeline.config import schema
from pipeline.messages import Action, Candle, Control, Decision, Event, Signal, Verdict
from pipeline.trading.decimals import decimal_text
from pipeline.trading.plan import Plan, Plans
from pipeline.trading.reasons import Reason, describe
from pipeline.trading.scopes import MemoryScopes, Scopes
from pipeline.trading.state import Slot, State, flatten_us, lag_after
from pipeline.trading.state_bytes import decode_state, encode_state
from pipeline.trading.strategies import KINDS, Factory
from pipeline.trading.strategies.protocol import advance
from pipeline.trading.throttle_view import throttle_snapshot, wide_snapshot
from pipeline.trading.turn import Turn, quiet_bar

LOGIC_VERSION = 5
"""Rises whenever the same events could be decided otherwise or a state's bytes change."""

_ORDERED = int(Verdict.ORDERED)
_FAILED = int(Verdict.FAILED)
_EXPOSURE = limits.MAX_EXPOSURE
_RESUME, _FLATTEN = Action.RESUME.value, Action.FLATTEN.value
_ACTIONS = frozenset(action.value for action in Action)


class AgentLogic:
    """Strategies, throttles and risk limits of one configuration.

    `fill_policy` must be the exec's: under all but `signal_price` orders rest until the next candle, and
    how many of a key may is limited; `partial_fills` says whether it fills by volume. `kinds` are the
    strategies that a configuration can ask for. `scopes` answers for throttles that count over symbols
    (default: in this process). `code` names the version of the logic and of its configuration. Raises
    ConfigError with every fault.
    """

    __slots__ = ("_partial", "_plans", "_rests", "_scopes", "code")

    def __init__(
        self,
        trading: schema.Trading,
        fill_policy: str = "next_open",
        kinds: Mapping[str, Factory] = KINDS,
        *,
        partial_fills: bool = False,
        scopes: Scopes | None = None,
    ) -> None:
        self._plans = Plans(trading, kinds)
        self._rests = fill_policy != "signal_price"
        self._partial = partial_fills
        self._scopes: Scopes = MemoryScopes() if scopes is None else scopes
        settings = msgspec.json.encode((trading, self._rests, partial_fills), order="deterministic")
        self.code = f"{LOGIC_VERSION}-{hashlib.sha256(settings).hexdigest()[:8]}"

    @property
    def partial_fills(self) -> bool:
        return self._partial

    def plan_of(self, key: str) -> Plan:
        """What of the configuration applies to `key`."""
        return self._plans.of(key)

    def origin(self, key: str) -> State:
        """The state of `key` before its first event."""
        return self._plans.of(key).origin(key)

    def step(
        self,
        state: State,
        event: Event,
        *,
        key_seq: int,
        at_us: int,
    ) -> tuple[State, Decision]:
        """Decide `event`, accepted at `at_us`; a rejected one leaves the state as it was."""
        if type(event) is Candle:
            return self._candle(state, event, key_seq, at_us)
        if type(event) is Signal:
            return self._signal(state, event, key_seq, at_us)
        assert type(event) is Control
        return self._control(state, event, key_seq, at_us)

    def apply(
        self,
        state: State,
        event: Event,
        decision: Decision,
        *,
        key_seq: int,  # noqa: ARG002 - as `step`
        at_us: int,
    ) -> State:
        """The state after an event that was decided before; decides nothing."""
        if decision.rejected:
            return state
        plan = self._plans.of(state.symbol)
        if type(event) is Candle:
            return self._apply_candle(plan, state, event, decision, at_us)
        if type(event) is Control:
            return self._apply_control(plan, state, event, decision, at_us)
        turn = self._turn(plan, state, at_us)
        _take_all(plan, turn, decision)
        return turn.state(state.candle_us, state.close, state.halted)

    def encode(self, state: State) -> bytes:
        return encode_state(state, self._plans.of(state.symbol).rules_of)

    def decode(self, data: bytes) -> State:
        """The state in `data`, fitted to the configuration in force: positions always survive, a strategy's
        memory only if its kind and parameters are the same."""
        state = decode_state(data)
        return self._plans.of(state.symbol).adopt(state)

    def throttle_scopes(self, state: State) -> list[dict[str, Any]]:
        """The payload of every throttle's scope of this key, as of its last event; of those that count over
        symbols as of when they were last asked."""
        plan = self._plans.of(state.symbol)
        found = [
            throttle_snapshot(rule, slot.scope, state.clock_us, strategy_id=slot.name, symbol=state.symbol)
            for slot in state.slots
            for rule in plan.rules_of(slot.name)
        ]
        found += self._key_scopes(plan, state)
        for seen in state.wide:
            of = plan.wide_rule(seen, state.symbol)
            found += [wide_snapshot(seen, *of)] if of is not None else []
        return found

    def _key_scopes(self, plan: Plan, state: State) -> Iterator[dict[str, Any]]:
        """Of throttles that count all strategies together, and as they are for those with an override."""
        of_all = plan.key_rules_of(None)
        for name in (None, *plan.key_exceptions):
            for rule in plan.key_rules_of(name):
                if name is None or rule not in of_all:
                    shown = throttle_snapshot(
                        rule, state.scope, state.clock_us, strategy_id=None, symbol=state.symbol
                    )
                    yield shown | ({"asked_by": name} if name is not None else {})

    # ---- candles

    def _candle(self, state: State, candle: Candle, key_seq: int, at_us: int) -> tuple[State, Decision]:
        suspect = candle.time_us <= state.candle_us or max(state.peak, candle.high) * state.reach > _EXPOSURE
        if suspect and (rejected := self._unusable(state, candle)):
            return state, Decision(rejected=rejected)
        plan = self._plans.of(state.symbol)
        slots, answers = list(state.slots), []
        quiet = True
        for index, seat in enumerate(plan.seats):
            slot = slots[index]
            memory, intent, fault = advance(seat.strategy, slot.memory, candle)
            slots[index] = Slot(slot.name, slot.tag, memory, slot.position, slot.scope)
            answers.append((intent, fault))
            if intent is not None or fault:
                quiet = False
        if quiet and not self._partial and not plan.risk.max_daily_loss:
            return quiet_bar(state, candle, slots, at_us), plan.held
        turn = self._bar(plan, state, candle, at_us, key_seq)
        turn.slots = slots
        if quiet:
            return turn.state(candle.time_us, candle.close, state.halted), plan.held
        turn.answer(answers, candle.close)
        after = turn.state(candle.time_us, candle.close, state.halted)
        return after, Decision(tuple(turn.legs), "", tuple(turn.inputs))

    def _apply_candle(
        self, plan: Plan, state: State, candle: Candle, decision: Decision, at_us: int
    ) -> State:
        turn = self._bar(plan, state, candle, at_us)
        failed = [leg.strategy for leg in decision.legs if leg.verdict == _FAILED]
        for index, seat in enumerate(plan.seats):
            if seat.name not in failed:
                slot = turn.slots[index]
                memory, _, _ = advance(seat.strategy, slot.memory, candle)
                turn.slots[index] = Slot(slot.name, slot.tag, memory, slot.position, slot.scope)
        _take_all(plan, turn, decision)
        return turn.state(candle.time_us, candle.close, state.halted)

    def _bar(self, plan: Plan, state: State, candle: Candle, at_us: int, key_seq: int = 0) -> Turn:
        now_us = max(state.clock_us, candle.time_us)
        return Turn(
            plan,
            state,
            now_us,
            rests=self._rests,
            partial=self._partial,
            candle=candle,
            key_seq=key_seq,
            scopes=self._scopes,
            lag_us=lag_after(now_us, at_us),
        )

    def _unusable(self, state: State, candle: Candle) -> str:
        """Why this candle cannot be decided on; "" when it can."""
        if candle.time_us <= state.candle_us:
            return describe(Reason.CANDLE_STALE, time_us=candle.time_us, last_us=state.candle_us)
        peak = max(state.peak, candle.high)
        if peak * state.reach <= limits.MAX_EXPOSURE:
            return ""
        # Only positions count where nothing rests; `reach` may still remember what is closed by now.
        reach = state.reach if self._rests else max((abs(slot.position) for slot in state.slots), default=0)
        if peak * reach <= limits.MAX_EXPOSURE:
            return ""
        scale = self._plans.of(state.symbol).instrument.money_scale
        return describe(
            Reason.CANDLE_OVERFLOW,
            exposure=decimal_text(peak * reach, scale),
            limit=decimal_text(limits.MAX_EXPOSURE, scale),
        )

    # ---- signals

    def _signal(self, state: State, signal: Signal, key_seq: int, at_us: int) -> tuple[State, Decision]:
        price = signal.price or state.close
        if not price:
            return state, Decision(rejected=describe(Reason.SIGNAL_UNPRICED, strategy=signal.strategy))
        plan = self._plans.of(state.symbol)
        turn = self._turn(plan, state, at_us, key_seq)
        index = turn.find(signal.strategy)
        slot = turn.slots[index] if index >= 0 else plan.fresh(signal.strategy)
        if signal.side:
            quantity = signal.quantity or plan.quantity_of(signal.strategy)
            turn.aim(index, slot, slot.position + signal.side * quantity, price, quantity)
        else:
            turn.aim(index, slot, _closed(slot.position, signal.quantity), price)
        after = turn.state(state.candle_us, state.close, state.halted)
        return after, Decision(tuple(turn.legs), "", tuple(turn.inputs))

    def _turn(self, plan: Plan, state: State, at_us: int, key_seq: int = 0) -> Turn:
        now_us = max(state.clock_us, at_us)
        return self._turn_at(plan, state, now_us, key_seq, lag_after(now_us, at_us))

    def _turn_at(self, plan: Plan, state: State, now_us: int, key_seq: int, lag_us: int | None) -> Turn:
        return Turn(
            plan, state, now_us, rests=self._rests, key_seq=key_seq, scopes=self._scopes, lag_us=lag_us
        )

    # ---- controls

    def _control(self, state: State, control: Control, key_seq: int, at_us: int) -> tuple[State, Decision]:
        if control.action not in _ACTIONS:
            return state, Decision(rejected=describe(Reason.CONTROL_UNKNOWN, action=control.action))
        turn = self._control_turn(self._plans.of(state.symbol), state, control, at_us, key_seq)
        if control.action == _FLATTEN:
            turn.flatten()
        return turn.state(state.candle_us, state.close, _halted(control)), Decision(tuple(turn.legs))

    def _apply_control(
        self, plan: Plan, state: State, control: Control, decision: Decision, at_us: int
    ) -> State:
        turn = self._control_turn(plan, state, control, at_us)
        _take_all(plan, turn, decision)
        return turn.state(state.candle_us, state.close, _halted(control))

    def _control_turn(self, plan: Plan, state: State, control: Control, at_us: int, key_seq: int = 0) -> Turn:
        """Only a flatten lets time pass: its exits have an instant, and cooldowns run from it."""
        now_us = flatten_us(state, at_us) if control.action == _FLATTEN else state.clock_us
        return self._turn_at(plan, state, now_us, key_seq, None)


def _take_all(plan: Plan, turn: Turn, decision: Decision) -> None:
    turn.recall(decision)
    for leg in decision.legs:
        if leg.verdict == _ORDERED:
            index = turn.find(leg.strategy)
            slot = turn.slots[index] if index >= 0 else plan.fresh(leg.strategy)
            turn.take(index, slot, leg)


def _halted(control: Control) -> str:
    """What halts a key after it, "" for nothing."""
    return "" if control.action == _RESUME else control.action


def _closed(position: int, quantity: int) -> int:
    """The position after closing `quantity` of it; 0 stands for all, and no close goes past flat."""
    if not quantity or quantity >= abs(position):
        return 0
    return position - quantity if position > 0 else position + quantity
