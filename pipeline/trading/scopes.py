"""Throttles wider than a symbol: one count of a strategy in all symbols, or of everything.

Such a count is no key's state alone, so it is asked of a store under (key, key_seq, leg), where the first
answer stands, and the answer is recorded in the decision's inputs: a replay is given the same ones.
`MemoryScopes` serves one agent process; it knows what happened since that process began. Several agents share
a store: `pipeline.stages.shared_scopes`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.trading.throttle import Rule, enter, judge, leave, origin
from pipeline.trading.throttle_memory import ScopeState

LEAST_NOTIONAL = 1
"""The smallest entry there is: what does not let it pass lets nothing pass."""
Scope = tuple[str, str]
"""(throttle, what it counts: a strategy or "" for everything)."""


class Ask(Struct, frozen=True):
    """An entry that wants to pass `rules`, each counted in its scope; or an exit (`notional` 0). Unless
    `take`, an entry is only judged."""

    key: str
    key_seq: int
    leg: int
    now_us: int
    notional: int
    scopes: tuple[Scope, ...]
    rules: tuple[Rule, ...]
    take: bool = True


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """What a wide scope held after a question: entries in its window and their notionals, why it would
    refuse the smallest entry, and for how long from the question on (0: it would not, or always). When that
    was is in `at_us` where it is kept, and not in what is recorded: the same run at another time has the same
    digest."""

    throttle: str
    counted: str
    used_trades: int = 0
    used_notional: int = 0
    wait_us: int = 0
    reasons: tuple[str, ...] = ()
    at_us: int = 0


class LastSeen(Seen, frozen=True, array_like=True, gc=False):
    """As a key keeps it: with the strategy that asked, whose rule judged and whose limits these are ("" where
    an older version kept it)."""

    strategy: str = ""


class Grant(Struct, frozen=True, array_like=True):
    """The answer, as it is recorded: granted when no rule objects. `seen` has one for each scope that could
    be asked; it decides nothing."""

    leg: int
    reasons: tuple[str, ...] = ()
    retry_at_us: int = 0
    seen: tuple[Seen, ...] = ()


class Scopes(Protocol):
    """All or nothing: an entry counts in every scope or in none. Answers never change once given."""

    def ask(self, ask: Ask) -> Grant: ...

    def left(self, ask: Ask) -> None:
        """An exit, from which cooldowns run. It is never refused."""


class MemoryScopes:
    """In this process. Each scope's clock is the latest time it was asked at: keys' clocks differ, and time
    never falls within a count."""

    def __init__(self) -> None:
        self._states: dict[Scope, ScopeState] = {}
        self._clocks: dict[Scope, int] = {}
        self._given: OrderedDict[tuple[str, int, int], Grant] = OrderedDict()

    def ask(self, ask: Ask) -> Grant:
        name = (ask.key, ask.key_seq, ask.leg)
        given = self._given.get(name)
        if given is not None:
            return given
        reasons: list[str] = []
        entered: list[ScopeState] = []
        latest_us, never = 0, False
        for scope, rule in zip(ask.scopes, ask.rules, strict=True):
            state, now_us = self._state(scope), self._now(ask.now_us, scope)
            answer = judge((rule,), state, now_us, ask.notional)
            entered += [enter(state, now_us, ask.notional)] if answer.allowed else []
            reasons += answer.reasons
            never = never or not (answer.allowed or answer.retry_at_us)
            latest_us = max(latest_us, answer.retry_at_us)
        if not reasons and ask.take:
            self._states.update(zip(ask.scopes, entered, strict=True))
        seen = [self._seen(scope, rule, ask) for scope, rule in zip(ask.scopes, ask.rules, strict=True)]
        grant = Grant(ask.leg, tuple(reasons), 0 if never else latest_us, tuple(seen))
        self._answered(name, grant)
        return grant

    def left(self, ask: Ask) -> None:
        name = (ask.key, ask.key_seq, ask.leg)
        if name in self._given:
            return
        for scope in ask.scopes:
            # Noted whatever the rule: another may have a cooldown. It moves no clock, or it would matter to
            # the rules that have none.
            state = self._state(scope)
            exit_us = max(state.exit_us, self._clocks.get(scope, 0), ask.now_us)
            self._states[scope] = leave(state, exit_us)
        self._answered(name, Grant(ask.leg))

    def _answered(self, name: tuple[str, int, int], grant: Grant) -> None:
        self._given[name] = grant
        if len(self._given) > limits.MAX_SCOPE_ANSWERS:
            self._given.popitem(last=False)

    def _seen(self, scope: Scope, rule: Rule, ask: Ask) -> Seen:
        answer = judge((rule,), self._state(scope), self._now(ask.now_us, scope), LEAST_NOTIONAL)
        (budget,) = answer.budgets
        wait_us = answer.retry_at_us - ask.now_us if answer.retry_at_us else 0
        return Seen(*scope, budget.used_trades, budget.used_notional, wait_us, answer.reasons)

    def _state(self, scope: Scope) -> ScopeState:
        return self._states.get(scope) or origin()

    def _now(self, now_us: int, scope: Scope) -> int:
        now_us = self._clocks[scope] = max(now_us, self._clocks.get(scope, 0))
        return now_us


class RecordedScopes:
    """Gives the answers that decisions recorded. Raises KeyError for one that was never asked."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, int, int], Grant] = {}

    def add(self, key: str, key_seq: int, inputs: Iterable[str]) -> None:
        for text in inputs:
            grant = grant_of(text)
            self._given[key, key_seq, grant.leg] = grant

    def ask(self, ask: Ask) -> Grant:
        return self._given[ask.key, ask.key_seq, ask.leg]

    def left(self, ask: Ask) -> None:
        """Nothing to do: whatever followed from it is recorded."""


_grant = msgspec.json.Decoder(Grant)


def grant_of(text: str) -> Grant:
    """The grant in a decision's input. Raises msgspec.ValidationError or DecodeError on foreign text."""
    return _grant.decode(text)


def grant_text(grant: Grant) -> str:
    """A grant as a decision's input."""
    return msgspec.json.encode(grant).decode()
