"""The trade throttle: how often and for how much one scope (strategy, symbol) may enter.

Pure functions over immutable state; integers only; the caller brings the time, which never falls within
a scope. A rule holds over half-open windows: an entry at t counts at every instant before t + window. Every
rule is evaluated and nothing changes unless all pass. Exits are never judged here: they spend nothing and
start the cooldown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.trading.decimals import configured, decimal_text, fraction
from pipeline.trading.reasons import Reason, describe

OFF = -1
"""A limit that is not set."""
NEVER_YET = -1
"""Of the last entry or exit: there was none."""


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
    """Entries the window may hold; OFF when it keeps none. Above `max_trades` only where that is off."""
    money_scale: int
    window_text: str
    spacing_text: str
    cooldown_text: str
    halted_text: str


class ScopeState(Struct, frozen=True, array_like=True, gc=False):
    """What one throttle remembers of one scope: the entries still in its window, oldest first, with their
    notionals where those are limited, and the last entry and exit (microseconds, NEVER_YET)."""

    throttle: str
    times: tuple[int, ...] = ()
    notionals: tuple[int, ...] = ()
    entry_us: int = NEVER_YET
    exit_us: int = NEVER_YET


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
    """The rule of a configured throttle; counts and notional are rounded down after the multiplier."""
    multiplier = fraction(throttle.multiplier)
    max_trades = max_notional = OFF
    if throttle.max_trades:
        max_trades = throttle.max_trades * multiplier.numerator // multiplier.denominator
    if fraction(throttle.max_notional):
        unscaled = configured(throttle.max_notional, money_scale)
        max_notional = unscaled * multiplier.numerator // multiplier.denominator
    room = max_trades
    if max_trades == OFF and max_notional != OFF:
        room = limits.MAX_WINDOW_TRADES
    name, window_s = throttle.name, throttle.window_seconds
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
        window_text=describe(Reason.THROTTLE_WINDOW, limit=room, window_seconds=window_s, throttle=name),
        spacing_text=describe(
            Reason.THROTTLE_SPACING, min_spacing_seconds=throttle.min_spacing_seconds, throttle=name
        ),
        cooldown_text=describe(
            Reason.THROTTLE_COOLDOWN, cooldown_seconds=throttle.cooldown_seconds, throttle=name
        ),
        halted_text=describe(Reason.THROTTLE_HALTED, multiplier=0, throttle=name),
    )


def origin(rules: Sequence[Rule]) -> tuple[ScopeState, ...]:
    """The memory of `rules` before anything happened."""
    return tuple(ScopeState(rule.name) for rule in rules)


def judge(rules: Sequence[Rule], scopes: Sequence[ScopeState], now_us: int, notional: int) -> Answer:
    """May an entry of `notional` happen at `now_us`? `scopes` are the rules' states, in their order."""
    if len(rules) == 1:
        reasons: list[str] = []
        retry_at_us, budget = _judge(rules[0], scopes[0], now_us, notional, reasons)
        return Answer(tuple(reasons), max(retry_at_us, 0), (budget,))
    reasons, budgets, latest_us, never = [], [], 0, False
    for rule, scope in zip(rules, scopes, strict=True):
        retry_at_us, budget = _judge(rule, scope, now_us, notional, reasons)
        budgets.append(budget)
        never = never or retry_at_us < 0
        latest_us = max(latest_us, retry_at_us)
    return Answer(tuple(reasons), 0 if never else latest_us, tuple(budgets))


def enter(
    rules: Sequence[Rule], scopes: Sequence[ScopeState], now_us: int, notional: int
) -> tuple[ScopeState, ...]:
    """The states after an entry that was allowed; entries that left the window are forgotten."""
    return tuple(_enter(rule, scope, now_us, notional) for rule, scope in zip(rules, scopes, strict=True))


def leave(rules: Sequence[Rule], scopes: tuple[ScopeState, ...], now_us: int) -> tuple[ScopeState, ...]:
    """The states after an exit, partial ones included."""
    if not any(rule.cooldown_us for rule in rules):
        return scopes
    return tuple(
        ScopeState(scope.throttle, scope.times, scope.notionals, scope.entry_us, now_us)
        if rule.cooldown_us
        else scope
        for rule, scope in zip(rules, scopes, strict=True)
    )


def idle(rules: Sequence[Rule], scopes: Sequence[ScopeState], now_us: int) -> bool:
    """True when forgetting the states would change no later answer."""
    for rule, scope in zip(rules, scopes, strict=True):
        if scope.times and scope.times[-1] > now_us - rule.window_us:
            return False
        if scope.entry_us != NEVER_YET and now_us - scope.entry_us < rule.spacing_us:
            return False
        if scope.exit_us != NEVER_YET and now_us - scope.exit_us < rule.cooldown_us:
            return False
    return True


def _judge(
    rule: Rule, scope: ScopeState, now_us: int, notional: int, reasons: list[str]
) -> tuple[int, Budget]:
    """Adds to `reasons`; returns when this rule would pass (0: it does, negative: never) and its budget."""
    times = scope.times
    gone = bisect_right(times, now_us - rule.window_us) if times else 0
    used = len(times) - gone
    spent = sum(scope.notionals[gone:]) if scope.notionals else 0
    latest_us, never = 0, False
    if rule.halted:
        reasons.append(rule.halted_text)
        never = True
    else:
        if 0 <= rule.room <= used:
            reasons.append(rule.window_text)
            never = not rule.room
            if rule.room:
                latest_us = times[-rule.room] + rule.window_us
        if 0 <= rule.max_notional < spent + notional:
            reasons.append(notional_text(rule, spent, notional))
            never = never or notional > rule.max_notional
            latest_us = max(latest_us, _notional_retry(rule, scope, gone, spent + notional))
    since_us = scope.entry_us
    if since_us != NEVER_YET and now_us - since_us < rule.spacing_us:
        reasons.append(rule.spacing_text)
        latest_us = max(latest_us, since_us + rule.spacing_us)
    since_us = scope.exit_us
    if since_us != NEVER_YET and now_us - since_us < rule.cooldown_us:
        reasons.append(rule.cooldown_text)
        latest_us = max(latest_us, since_us + rule.cooldown_us)
    return -1 if never else latest_us, Budget(used, rule.max_trades, spent, rule.max_notional)


def _notional_retry(rule: Rule, scope: ScopeState, gone: int, total: int) -> int:
    """When enough of the oldest entries have left the window for `total` to fit; 0 if it never does."""
    for time_us, notional in zip(scope.times[gone:], scope.notionals[gone:], strict=True):
        total -= notional
        if total <= rule.max_notional:
            return time_us + rule.window_us
    return 0


def notional_text(rule: Rule, spent: int, notional: int) -> str:
    return describe(
        Reason.THROTTLE_NOTIONAL,
        limit=decimal_text(rule.max_notional, rule.money_scale),
        used=decimal_text(spent, rule.money_scale),
        wanted=decimal_text(notional, rule.money_scale),
        window_seconds=rule.window_us // US_PER_S,
        throttle=rule.name,
    )


def _enter(rule: Rule, scope: ScopeState, now_us: int, notional: int) -> ScopeState:
    times, notionals = scope.times, scope.notionals
    if rule.room != OFF:
        gone = bisect_right(times, now_us - rule.window_us) if times else 0
        times = (*times[gone:], now_us)
        if rule.max_notional != OFF:
            notionals = (*notionals[gone:], notional)
    entry_us = now_us if rule.spacing_us else NEVER_YET
    return ScopeState(scope.throttle, times, notionals, entry_us, scope.exit_us)
