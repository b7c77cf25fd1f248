"""Throttles wider than a strategy in a symbol: one count for a symbol, a strategy or everything.

Such a count is nobody's state alone, so it is asked of a store under (key, key_seq, leg), where the first
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

Scope = tuple[str, str]
"""(throttle, what it counts: a symbol, a strategy or "" for everything)."""


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


class Grant(Struct, frozen=True, array_like=True):
    """The answer, as it is recorded: granted when no rule objects."""

    leg: int
    reasons: tuple[str, ...] = ()
    retry_at_us: int = 0


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
        grant = Grant(ask.leg, tuple(reasons), 0 if never else latest_us)
        self._answered(name, grant)
        return grant

    def left(self, ask: Ask) -> None:
        name = (ask.key, ask.key_seq, ask.leg)
        if name in self._given:
            return
        for scope, rule in zip(ask.scopes, ask.rules, strict=True):
            if not rule.cooldown_us:
                continue  # an exit means nothing to it, and moves its clock no more than a shared store's
            now_us = self._now(ask.now_us, scope)
            self._states[scope] = leave(self._state(scope), now_us)
        self._answered(name, Grant(ask.leg))

    def _answered(self, name: tuple[str, int, int], grant: Grant) -> None:
        self._given[name] = grant
        if len(self._given) > limits.MAX_SCOPE_ANSWERS:
            self._given.popitem(last=False)

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
            grant = _grant.decode(text)
            self._given[key, key_seq, grant.leg] = grant

    def ask(self, ask: Ask) -> Grant:
        return self._given[ask.key, ask.key_seq, ask.leg]

    def left(self, ask: Ask) -> None:
        """Nothing to do: whatever followed from it is recorded."""


_grant = msgspec.json.Decoder(Grant)


def grant_text(grant: Grant) -> str:
    """A grant as a decision's input."""
    return msgspec.json.encode(grant).decode()
