"""One event's turn at a key's state: wishes go in, legs and the next state come out.

`aim` judges a wish and makes legs; `take` books an ordered leg. Deciding an event is aim and take,
rebuilding is take alone, so both end in the same state by construction.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline import limits
from pipeline.messages import BUY, SELL, Candle, Decision, Leg, Verdict
from pipeline.trading.decimals import decimal_text
from pipeline.trading.plan import Plan
from pipeline.trading.reasons import Reason, describe
from pipeline.trading.risk import DAY_US
from pipeline.trading.scopes import Ask, Grant, LastSeen, RecordedScopes, Scopes, grant_of, grant_text
from pipeline.trading.state import Slot, State, lag_after
from pipeline.trading.throttle import enter, idle, judge_both, leave
from pipeline.trading.throttle_memory import ScopeState

ENTRY = "entry"
EXIT = "exit"

_NO_SCOPES: Scopes = RecordedScopes()
"""For turns that only book what was decided."""
_HELD = int(Verdict.HELD)
_ORDERED = int(Verdict.ORDERED)
_DENIED = int(Verdict.DENIED)
_FAILED = int(Verdict.FAILED)


class Turn:
    """Mutable for the length of one event, never kept. `rests`: orders wait for the next candle."""

    __slots__ = (
        "_close",
        "_day",
        "_day_profit",
        "_key_seq",
        "_lag_us",
        "_mark",
        "_orders",
        "_peak",
        "_plan",
        "_reach",
        "_rests",
        "_scope",
        "_scopes",
        "_seen",
        "_state",
        "inputs",
        "legs",
        "now_us",
        "slots",
    )

    def __init__(
        self,
        plan: Plan,
        state: State,
        now_us: int,
        *,
        rests: bool,
        partial: bool = False,
        candle: Candle | None = None,
        key_seq: int = 0,
        scopes: Scopes = _NO_SCOPES,
        lag_us: int | None = None,
    ) -> None:
        """`candle` is the one whose turn it is: what rested before it has filled then, unless fills may be
        `partial`. `lag_us` is the state's after it, None where it stays."""
        high = candle.high if candle is not None else 0
        self._close = candle.close if candle is not None else state.close
        self._day = self._day_profit = 0
        if plan.risk.max_daily_loss:
            self._day = now_us // DAY_US
            self._day_profit = state.day_profit if self._day == state.day else 0
            if candle is not None and state.close:
                self._earn(sum(slot.position for slot in state.slots) * (candle.close - state.close))
        self._plan = plan
        self._key_seq = key_seq
        self._lag_us = state.lag_us if lag_us is None else lag_us
        self._scopes = scopes
        self.inputs: list[str] = []
        self._seen = state.wide
        self._scope = state.scope
        self._state = state
        self._rests = rests
        self.now_us = now_us
        self.slots = list(state.slots)
        self.legs: list[Leg] = []
        self._mark = state.mark
        if rests and not high:
            self._orders = state.orders
            self._reach = state.reach
            self._peak = state.peak
            return
        self._orders = 0
        if partial:
            # Nobody knows here when an order has filled, so the bounds of all amounts never shrink.
            self._reach = state.reach
            self._peak = max(state.peak, high)
            return
        reach = 0
        for slot in state.slots:
            reach = max(reach, abs(slot.position))
        self._reach = reach
        self._peak = max(state.peak, high) if reach else high

    def find(self, name: str) -> int:
        """Where the slot of `name` is; −1 when there is none."""
        for index, slot in enumerate(self.slots):
            if slot.name == name:
                return index
        return -1

    def answer(self, answers: Iterable[tuple[int | None, str]], price: int) -> None:
        """The legs of all seats on one candle: (intent, why the strategy failed) of each, in their order."""
        for index, (seat, (intent, fault)) in enumerate(zip(self._plan.seats, answers, strict=True)):
            if fault:
                self.legs.append(Leg(seat.name, _FAILED, reasons=(fault,)))
            elif intent is None:
                self.legs.append(seat.held)
            else:
                self.aim(index, self.slots[index], seat.sized(intent), price)

    def aim(self, index: int, slot: Slot, target: int, price: int, wanted: int = 0) -> None:
        """Bring `slot` to `target` at `price`: an exit leg for what is too much, then an entry leg for what
        is missing, each ordered or denied. `wanted` is the quantity a signal asked for."""
        position = slot.position
        if position == target:
            self.legs.append(Leg(slot.name, _HELD))
            return
        side = BUY if target > position else SELL
        closing = closing_quantity(position, target)
        if closing:
            reasons = self._exit_reasons(closing, price)
            self._answer(slot.name, side, closing, price, EXIT, reasons)
            if reasons:
                return
            self._leave(slot.name)
            slot = self.take(index, slot, self.legs[-1])
        opening = abs(target - slot.position)
        if not opening:
            return
        reasons = self._entry_reasons(index, target, opening, price, wanted)
        answer = judge_both(
            self._plan.rules_of(slot.name),
            slot.scope,
            self._plan.key_rules_of(slot.name),
            self._scope,
            self.now_us,
            opening * price,
        )
        retry_at_us = 0 if reasons else answer.retry_at_us
        reasons.extend(answer.reasons)
        if self._plan.wide:
            retry_at_us = self._ask(slot.name, opening * price, reasons, retry_at_us)
        self._answer(slot.name, side, opening, price, ENTRY, reasons, retry_at_us)
        if not reasons:
            self.take(index, slot, self.legs[-1])

    def flatten(self) -> None:
        """An exit of all that each slot intends to hold, at the last price; never denied."""
        price = self._state.close or self._state.mark
        for index, slot in enumerate(self._state.slots):
            if slot.position:
                side = SELL if slot.position > 0 else BUY
                self._answer(slot.name, side, abs(slot.position), price, EXIT, [])
                self._leave(slot.name)
                self.take(index, slot, self.legs[-1])

    def take(self, index: int, slot: Slot, leg: Leg) -> Slot:
        """Book an ordered leg of the strategy in `slot`, which is not in the state yet when `index` < 0."""
        position = slot.position + leg.side * leg.quantity
        plan_loss = self._plan.risk.max_daily_loss
        scope = self._remembered(slot.scope, leg)
        # While one strategy alone has spoken, both remember the same.
        self._scope = scope if self._scope is slot.scope else self._remembered(self._scope, leg)
        slot = Slot(slot.name, slot.tag, slot.memory, position, scope)
        if index < 0:
            self.slots = [*self._with_room(), slot]
        else:
            self.slots[index] = slot
        self._mark = leg.price
        if plan_loss and self._close:
            self._earn(leg.side * leg.quantity * (self._close - leg.price))
        self._peak = max(self._peak, leg.price)
        self._reach = max(self._reach, leg.quantity, abs(position))
        if self._rests:
            self._orders += 1
        return slot

    def state(self, candle_us: int, close: int, halted: str) -> State:
        """The state after this turn."""
        return State(
            self._state.symbol,
            self.now_us,
            candle_us,
            close,
            self._mark,
            halted,
            self._peak,
            self._reach,
            self._orders,
            tuple(self.slots),
            self._day,
            self._day_profit,
            self._seen,
            self._scope,
            self._lag_us,
        )

    def recall(self, decision: Decision) -> None:
        """What outside said when this event was decided."""
        for text in decision.inputs:
            grant = grant_of(text)
            self._note(grant, decision.legs[grant.leg].strategy)

    def _answer(
        self,
        name: str,
        side: int,
        quantity: int,
        price: int,
        intent: str,
        reasons: list[str],
        retry_at_us: int = 0,
    ) -> None:
        verdict = _DENIED if reasons else _ORDERED
        self.legs.append(Leg(name, verdict, side, quantity, price, tuple(reasons), retry_at_us, intent))

    def _ask(self, strategy: str, notional: int, reasons: list[str], retry_at_us: int) -> int:
        """Asks what counts over symbols; adds to `reasons`, returns the later `retry_at_us`. An entry
        that is refused already is only judged, so that its answer has every rule."""
        scopes, rules = self._plan.wide_of(strategy, self._state.symbol)
        if not scopes:
            return retry_at_us
        # Beyond the largest amount it is beyond every limit.
        notional = min(notional * self._plan.wide_factor, limits.MAX_NOTIONAL)
        refused, unknown = bool(reasons), bool(reasons) and not retry_at_us
        grant = self._scopes.ask(
            Ask(
                self._state.symbol, self._key_seq, len(self.legs), self.now_us, notional, scopes, rules,
                take=not refused,
            )
        )  # fmt: skip
        self.inputs.append(grant_text(grant))
        self._note(grant, strategy)
        reasons.extend(grant.reasons)
        if unknown or (grant.reasons and not grant.retry_at_us):
            return 0
        return max(retry_at_us, grant.retry_at_us)

    def _note(self, grant: Grant, strategy: str) -> None:
        """Keeps the latest of each wide scope, of so many scopes, the latest first."""
        fresh = {(seen.throttle, seen.counted) for seen in grant.seen}
        older = [seen for seen in self._seen if (seen.throttle, seen.counted) not in fresh]
        now = [
            LastSeen(
                seen.throttle, seen.counted, seen.used_trades, seen.used_notional, seen.wait_us, seen.reasons,
                self.now_us, strategy,
            )
            for seen in grant.seen
        ]  # fmt: skip
        self._seen = (*now, *older)[: limits.MAX_SEEN_SCOPES]

    def _remembered(self, scope: ScopeState, leg: Leg) -> ScopeState:
        if leg.intent == ENTRY:
            return enter(scope, self.now_us, leg.quantity * leg.price)
        return leave(scope, self.now_us)

    def _leave(self, strategy: str) -> None:
        """Tells what counts over symbols of the exit that is the last leg."""
        scopes, rules = self._plan.wide_of(strategy, self._state.symbol) if self._plan.wide else ((), ())
        if scopes:
            leg = len(self.legs) - 1
            self._scopes.left(Ask(self._state.symbol, self._key_seq, leg, self.now_us, 0, scopes, rules))

    def _earn(self, amount: int) -> None:
        """Within what a 64-bit word holds: a loss beyond that is past every limit."""
        most = limits.MAX_NOTIONAL
        self._day_profit = max(-most, min(self._day_profit + amount, most))

    def _exit_reasons(self, quantity: int, price: int) -> list[str]:
        """Exits always pass, but for a price or a number of orders that could not be represented."""
        reasons = self._exposure_reasons(quantity, price)
        if self._orders >= 2 * limits.MAX_RESTING_ORDERS:
            reasons.append(describe(Reason.RISK_MAX_ORDERS, limit=2 * limits.MAX_RESTING_ORDERS))
        return reasons

    def _entry_reasons(self, index: int, target: int, quantity: int, price: int, wanted: int) -> list[str]:
        instrument = self._plan.instrument
        reasons = []
        if self._state.halted:
            reasons.append(describe(Reason.RISK_HALTED, by=self._state.halted))
        if wanted > self._plan.max_quantity:
            text = instrument.quantity_text
            reasons.append(
                describe(Reason.RISK_MAX_QUANTITY, wanted=text(wanted), limit=text(self._plan.max_quantity))
            )
        if abs(target) > limits.MAX_SCALED:
            text = instrument.quantity_text
            reasons.append(
                describe(Reason.RISK_MAX_POSITION, wanted=text(target), limit=text(limits.MAX_SCALED))
            )
        if self._plan.risk.active:
            reasons += self._plan.risk.refusals(
                now_us=self.now_us,
                quantity=quantity,
                target=target,
                price=price,
                close=self._state.close,
                day_profit=self._day_profit,
            )
        reasons.extend(self._exposure_reasons(max(quantity, abs(target)), price))
        if self._orders >= limits.MAX_RESTING_ORDERS:
            reasons.append(describe(Reason.RISK_MAX_ORDERS, limit=limits.MAX_RESTING_ORDERS))
        if index < 0 and len(self.slots) - len(self._idle()) >= limits.MAX_STRATEGIES_A_KEY:
            reasons.append(describe(Reason.RISK_MAX_STRATEGIES, limit=limits.MAX_STRATEGIES_A_KEY))
        return reasons

    def _exposure_reasons(self, quantity: int, price: int) -> list[str]:
        exposure = max(self._peak, price) * max(self._reach, quantity)
        if exposure <= limits.MAX_EXPOSURE:
            return []
        scale = self._plan.instrument.money_scale
        limit = decimal_text(limits.MAX_EXPOSURE, scale)
        return [describe(Reason.RISK_MAX_NOTIONAL, exposure=decimal_text(exposure, scale), limit=limit)]

    def _idle(self) -> list[int]:
        """Where the slots are that may go, the one without any order for longest first: those that only
        signals name, flat, and of which no throttle remembers what still matters."""
        slots, plan = self.slots, self._plan
        found = [
            index
            for index in range(len(plan.seats), len(slots))
            if not slots[index].position
            and idle(plan.rules_of(slots[index].name), slots[index].scope, self.now_us)
        ]
        return sorted(found, key=lambda index: max(slots[index].scope.entry_us, slots[index].scope.exit_us))

    def _with_room(self) -> list[Slot]:
        """The slots, with room for another. One that is idle stays while it can: under other throttles, what
        it remembers may matter again."""
        too_many = len(self.slots) + 1 - limits.MAX_STRATEGIES_A_KEY
        if too_many <= 0:
            return self.slots
        gone = self._idle()[:too_many]
        return [slot for index, slot in enumerate(self.slots) if index not in gone]


def quiet_bar(state: State, candle: Candle, slots: list[Slot], at_us: int) -> State:
    """The state after a candle on which nobody wants anything: what `Turn` would leave, for less."""
    time_us, high, reach = candle.time_us, candle.high, 0
    clock_us = max(state.clock_us, time_us)
    for slot in slots:
        position = slot.position
        if position:
            reach = max(reach, position if position > 0 else -position)
    return State(
        state.symbol,
        clock_us,
        time_us,
        candle.close,
        state.mark,
        state.halted,
        max(state.peak, high) if reach else high,
        reach,
        0,
        tuple(slots),
        0,
        0,
        state.wide,
        state.scope,
        lag_after(clock_us, at_us),
    )


def closing_quantity(position: int, target: int) -> int:
    """How much of `position` must go on the way to `target`."""
    if position > 0:
        return max(position - max(target, 0), 0)
    return max(min(target, 0) - position, 0)
