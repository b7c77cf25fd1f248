"""The trade throttle: how often and for how much one scope (strategy, symbol) may enter.

Pure functions over immutable memory (`throttle_memory`); integers only; the caller brings the time, which
never falls within a scope. A rule holds over half-open windows: an entry at t counts at every instant before
t + window. Every rule is evaluated and nothing changes unless all pass. Exits are never judged here: they
spend nothing and start the cooldown. What a decision costs does not depend on how full its windows are.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.trading.decimals import configured, decimal_text, fraction
from pipeline.trading.reasons import Reason, describe
from pipeline.trading.throttle_memory import NEVER_YET, ORIGIN, ScopeState
from pipeline.trading.throttle_settings import check_throttle

OFF = -1
"""A limit that is not set."""


class Rule(Struct, frozen=True):
    """One configured throttle for the symbols of one instrument; the multiplier is already applied."""

    name: str
    window_us: int
    max_trades: int
    max_notional: int
    cooldown_us: int
    spacing_us: int
    halted: bool
    room: int
    """Entries the window may hold; OFF when it keeps none. Other than `max_trades` only where that is off and
    notional is limited: then as many as are remembered."""
    money_scale: int
    window_text: str
    spacing_text: str
    cooldown_text: str
    halted_text: str


class Budget(Struct, frozen=True, gc=False):
    """What one rule's window holds and may hold; limits are OFF where not set."""

    used_trades: int
    max_trades: int
    used_notional: int
    max_notional: int

    @property
    def remaining_trades(self) -> int:
        """OFF where not limited."""
        return self.max_trades - self.used_trades if self.max_trades >= 0 else OFF

    @property
    def remaining_notional(self) -> int:
        """OFF where not limited."""
        return self.max_notional - self.used_notional if self.max_notional >= 0 else OFF


class Answer(Struct, frozen=True, gc=False):
    """The judgement of one entry: allowed when no rule objects.

    `retry_at_us` is the earliest instant at which the same entry would pass if nothing else happened
    before; 0 when it is allowed or would never pass. `budgets` (one a rule) are those before this entry.
    """

    reasons: tuple[str, ...]
    retry_at_us: int
    budgets: tuple[Budget, ...]

    @property
    def allowed(self) -> bool:
        return not self.reasons


def compile_rule(throttle: schema.Throttle, money_scale: int) -> Rule:
    """The rule of a configured throttle; counts and notional are rounded down after the multiplier.

    Raises ConfigError with every setting that is out of bounds.
    """
    check_throttle(throttle)
    multiplier = fraction(throttle.multiplier)
    max_trades = max_notional = OFF
    if throttle.max_trades:
        max_trades = throttle.max_trades * multiplier.numerator // multiplier.denominator
    if fraction(throttle.max_notional):
        unscaled = configured(throttle.max_notional, money_scale)
        max_notional = unscaled * multiplier.numerator // multiplier.denominator
    name, window_s = throttle.name, throttle.window_seconds
    room = max_trades
    window_text = describe(Reason.THROTTLE_WINDOW, limit=room, window_seconds=window_s, throttle=name)
    if max_trades == OFF and max_notional != OFF:
        # Nobody limits their number, but of more the notionals are not remembered.
        room = limits.MAX_WINDOW_TRADES
        window_text = describe(
            Reason.THROTTLE_MEMORY, remembered=room, window_seconds=window_s, throttle=name
        )
    return Rule(
        name=name,
        window_us=window_s * US_PER_S,
        max_trades=max_trades,
        max_notional=max_notional,
        cooldown_us=throttle.cooldown_seconds * US_PER_S,
        spacing_us=throttle.min_spacing_seconds * US_PER_S,
        halted=not multiplier,
        room=room,
        money_scale=money_scale,
        window_text=window_text,
        spacing_text=describe(
            Reason.THROTTLE_SPACING, min_spacing_seconds=throttle.min_spacing_seconds, throttle=name
        ),
        cooldown_text=describe(
            Reason.THROTTLE_COOLDOWN, cooldown_seconds=throttle.cooldown_seconds, throttle=name
        ),
        halted_text=describe(Reason.THROTTLE_HALTED, multiplier=0, throttle=name),
    )


def origin() -> ScopeState:
    """The memory of a scope before anything happened."""
    return ORIGIN


def judge(rules: Sequence[Rule], scope: ScopeState, now_us: int, notional: int) -> Answer:
    """May an entry of `notional` happen at `now_us`? Raises ValueError for what is no instant or amount."""
    _check(now_us, notional)
    reasons: list[str] = []
    if len(rules) == 1:
        retry_at_us, budget = _judge(rules[0], scope, now_us, notional, reasons)
        return Answer(tuple(reasons), max(retry_at_us, 0), (budget,)) if reasons else Answer((), 0, (budget,))
    budgets, latest_us, never = [], 0, False
    for rule in rules:
        retry_at_us, budget = _judge(rule, scope, now_us, notional, reasons)
        budgets.append(budget)
        if retry_at_us < 0:
            never = True
        elif retry_at_us > latest_us:
            latest_us = retry_at_us
    if not reasons:
        return Answer((), 0, tuple(budgets))
    return Answer(tuple(reasons), 0 if never else latest_us, tuple(budgets))


def judge_both(
    rules: Sequence[Rule],
    scope: ScopeState,
    key_rules: Sequence[Rule],
    key_scope: ScopeState,
    now_us: int,
    notional: int,
) -> Answer:
    """As `judge`, under the rules of two scopes that the entry counts in."""
    if not key_rules:
        return judge(rules, scope, now_us, notional)
    if not rules:
        return judge(key_rules, key_scope, now_us, notional)
    one = judge(rules, scope, now_us, notional)
    other = judge(key_rules, key_scope, now_us, notional)
    never = any(answer.reasons and not answer.retry_at_us for answer in (one, other))
    latest_us = 0 if never else max(one.retry_at_us, other.retry_at_us)
    return Answer(one.reasons + other.reasons, latest_us, one.budgets + other.budgets)


def enter(scope: ScopeState, now_us: int, notional: int) -> ScopeState:
    """The memory after an entry that was allowed. Raises ValueError for what is no instant or amount, or an
    instant before the last entry."""
    _check(now_us, notional)
    if now_us < scope.entry_us:
        raise ValueError(f"now_us = {now_us}: before the last entry, at {scope.entry_us}")
    return scope.entered(now_us, notional)


def leave(scope: ScopeState, now_us: int) -> ScopeState:
    """The memory after an exit, a partial one included. Raises ValueError for what is no instant."""
    _check(now_us, 0)
    return scope.left(now_us)


def idle(rules: Sequence[Rule], scope: ScopeState, now_us: int) -> bool:
    """True when forgetting the memory would change no later answer of `rules`."""
    entry_us, exit_us = scope.entry_us, scope.exit_us
    for rule in rules:
        if entry_us != NEVER_YET:
            ago_us = now_us - entry_us
            if ago_us < rule.spacing_us or (rule.room != OFF and ago_us < rule.window_us):
                return False
        if exit_us != NEVER_YET and now_us - exit_us < rule.cooldown_us:
            return False
    return True


def _check(now_us: int, notional: int) -> None:
    # Floats are refused by their type: a NaN compares false with every limit.
    if type(now_us) is int and type(notional) is int and now_us >= 0 <= notional:
        return
    for name, value in (("now_us", now_us), ("notional", notional)):
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} = {value!r}: expected a whole number from 0 on")


def _judge(
    rule: Rule, scope: ScopeState, now_us: int, notional: int, reasons: list[str]
) -> tuple[int, Budget]:
    """Adds to `reasons`; returns when this rule would pass (0: it does, negative: never) and its budget."""
    used = spent = before = latest_us = 0
    never = False
    if rule.room != OFF:
        used, before = scope.since(now_us - rule.window_us)
        if rule.max_notional != OFF:
            spent = scope.total - before
    if rule.halted:
        reasons.append(rule.halted_text)
        never = True
    else:
        if 0 <= rule.room <= used:
            reasons.append(rule.window_text)
            never = not rule.room
            if rule.room:
                latest_us = scope.newest(rule.room) + rule.window_us
        if 0 <= rule.max_notional < spent + notional:
            reasons.append(notional_text(rule, spent, notional))
            if notional > rule.max_notional:
                never = True
            else:
                # When enough of the oldest entries have left the window for the rest to fit.
                freed_us = scope.reaching(before + spent + notional - rule.max_notional)
                latest_us = max(latest_us, freed_us + rule.window_us)
    if rule.spacing_us:
        since_us = scope.entry_us
        if since_us != NEVER_YET and now_us - since_us < rule.spacing_us:
            reasons.append(rule.spacing_text)
            latest_us = max(latest_us, since_us + rule.spacing_us)
    since_us = scope.exit_us
    if since_us != NEVER_YET and now_us - since_us < rule.cooldown_us:
        reasons.append(rule.cooldown_text)
        latest_us = max(latest_us, since_us + rule.cooldown_us)
    return -1 if never else latest_us, Budget(used, rule.max_trades, spent, rule.max_notional)


def notional_text(rule: Rule, spent: int, notional: int) -> str:
    return describe(
        Reason.THROTTLE_NOTIONAL,
        limit=decimal_text(rule.max_notional, rule.money_scale),
        used=decimal_text(spent, rule.money_scale),
        wanted=decimal_text(notional, rule.money_scale),
        window_seconds=rule.window_us // US_PER_S,
        throttle=rule.name,
    )
