"""A scope store in this process's memory: for one process, for tests and simulations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from pipeline import limits
from pipeline.storage.scopes.store import (
    OFF,
    Answer,
    Ask,
    Claim,
    ForgottenAnswerError,
    Held,
    Refusal,
    Rule,
    ScopeStoreError,
    check_question,
)

_NEVER_YET = -1
_LEAST_NOTIONAL = 1


class _Scope:
    """What is remembered of one scope, whatever is claimed of it; times in microseconds, oldest first."""

    __slots__ = ("entry_us", "exit_us", "latest_us", "notionals", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.notionals: list[int] = []
        self.latest_us = 0
        self.entry_us = self.exit_us = _NEVER_YET

    def window(self, claim: Claim) -> tuple[list[int], list[int]]:
        """Times and notionals of the entries that count for `claim` now."""
        first = bisect_right(self.times, self.latest_us - claim.window_us)
        return self.times[first:], self.notionals[first:]

    def note(self, notional: int) -> None:
        """An entry now."""
        self.entry_us = self.latest_us
        self.times.append(self.latest_us)
        self.notionals.append(notional)
        old = bisect_right(self.times, self.latest_us - limits.MAX_SCOPE_TIME_US)
        gone = max(len(self.times) - limits.MAX_WINDOW_TRADES, old)
        del self.times[:gone], self.notionals[:gone]


class MemoryScopeStore:
    """A `ScopeStore` that forgets everything with its process. While `down` it answers nothing."""

    def __init__(self) -> None:
        self.down = False
        self._scopes: dict[str, _Scope] = {}
        self._answers: dict[str, dict[tuple[int, int], Answer]] = {}
        self._newest: dict[str, int] = {}

    def enter(self, ask: Ask, claims: Sequence[Claim], *, take: bool = True) -> Answer:
        """See `ScopeStore.enter`."""
        check_question(ask, claims)
        if (known := self._known(ask)) is not None:
            return known
        scopes = [self._scope(claim.scope, ask.at_us) for claim in claims]
        refusals: list[Refusal] = []
        for index, (claim, scope) in enumerate(zip(claims, scopes, strict=True)):
            refusals += _refusals(index, claim, scope, claim.notional)
        if take and not refusals:
            for claim, scope in zip(claims, scopes, strict=True):
                scope.note(claim.notional)
        held = [_held(index, *pair) for index, pair in enumerate(zip(claims, scopes, strict=True))]
        return self._answered(ask, Answer(tuple(refusals), tuple(held)))

    def leave(self, ask: Ask, scopes: Sequence[str]) -> None:
        """See `ScopeStore.leave`."""
        check_question(ask, [Claim(scope, 0) for scope in scopes])
        if self._known(ask) is not None:
            return
        for name in scopes:
            scope = self._scope(name)
            scope.exit_us = max(scope.exit_us, scope.latest_us, ask.at_us)
        self._answered(ask, Answer())

    def close(self) -> None:
        """Nothing to let go of."""

    def _known(self, ask: Ask) -> Answer | None:
        if self.down:
            raise ScopeStoreError("scope store in memory: is down")
        known = self._answers.get(ask.key, {}).get((ask.key_seq, ask.part))
        if known is None and ask.key_seq + limits.SCOPE_ANSWERS_A_KEY <= self._newest.get(ask.key, 0):
            raise ForgottenAnswerError(
                f"scope store: the answer to event {ask.key_seq} of {ask.key} is forgotten"
            )
        return known

    def _answered(self, ask: Ask, answer: Answer) -> Answer:
        answers = self._answers.setdefault(ask.key, {})
        answers[ask.key_seq, ask.part] = answer
        newest = self._newest[ask.key] = max(ask.key_seq, self._newest.get(ask.key, 0))
        if len(answers) > 2 * limits.SCOPE_ANSWERS_A_KEY:
            oldest = newest - limits.SCOPE_ANSWERS_A_KEY
            self._answers[ask.key] = {at: one for at, one in answers.items() if at[0] > oldest}
        return answer

    def _scope(self, name: str, at_us: int = 0) -> _Scope:
        scope = self._scopes.setdefault(name, _Scope())
        scope.latest_us = max(scope.latest_us, at_us)
        return scope


def _held(index: int, claim: Claim, scope: _Scope) -> Held:
    times, notionals = scope.window(claim)
    used = len(times) if claim.room != OFF else 0
    spent = sum(notionals) if claim.max_notional != OFF else 0
    return Held(used, spent, tuple(_refusals(index, claim, scope, _LEAST_NOTIONAL)))


def _refusals(index: int, claim: Claim, scope: _Scope, notional: int) -> list[Refusal]:
    """Of an entry of `notional` under one claim."""
    now_us, found = scope.latest_us, []
    times, notionals = scope.window(claim)
    room = claim.room
    if 0 <= room <= len(times):
        found.append(Refusal(index, Rule.WINDOW, times[-room] + claim.window_us if room else 0))
    total = sum(notionals) + notional
    if 0 <= claim.max_notional < total:
        retry_us = _notional_retry_us(claim, zip(times, notionals, strict=True), total)
        found.append(Refusal(index, Rule.NOTIONAL, retry_us, total - notional))
    if scope.entry_us != _NEVER_YET and now_us - scope.entry_us < claim.spacing_us:
        found.append(Refusal(index, Rule.SPACING, scope.entry_us + claim.spacing_us))
    if scope.exit_us != _NEVER_YET and now_us - scope.exit_us < claim.cooldown_us:
        found.append(Refusal(index, Rule.COOLDOWN, scope.exit_us + claim.cooldown_us))
    return found


def _notional_retry_us(claim: Claim, entries: Iterable[tuple[int, int]], total: int) -> int:
    """When enough of the oldest entries have left the window; 0 if it never fits."""
    for time_us, notional in entries:
        total -= notional
        if total <= claim.max_notional:
            return time_us + claim.window_us
    return 0
