"""Wide throttles of several agents: `pipeline.trading`'s questions asked of a scope store.

A store that gives no answer refuses: the leg is denied, the reason is in the row. After that it is left alone
for a moment, so that an agent with a full inbox does not wait for a timeout on each entry. An exit is never
refused; one that the store could not be told of is told before the next question, or nothing is entered.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.errors import MissingError
from pipeline.storage.scopes import Ask as Question
from pipeline.storage.scopes import Claim, ForgottenAnswerError, Held, Refusal, ScopeStore
from pipeline.storage.scopes import Rule as Objection
from pipeline.trading.reasons import Reason, describe
from pipeline.trading.scopes import LEAST_NOTIONAL, Ask, Grant, Scope, Seen
from pipeline.trading.throttle import Rule, notional_text

log = logging.getLogger(__name__)


class SharedScopes:
    """`pipeline.trading.scopes.Scopes` on a store, which `open_store` opens with the first question."""

    def __init__(self, open_store: Callable[[], ScopeStore], now_ns: Callable[[], int]) -> None:
        self._open_store = open_store
        self._now_ns = now_ns
        self._store: ScopeStore | None = None
        self._down_until_ns = 0
        self._untold: dict[str, Question] = {}
        """The newest exit of each scope that the store does not know."""

    def ask(self, ask: Ask) -> Grant:
        """The store's answer, or a refusal that says that there is none."""
        halted = any(rule.halted for rule in ask.rules)
        claims = [
            _claim(scope, rule, ask.notional) for scope, rule in zip(ask.scopes, ask.rules, strict=True)
        ]
        try:
            store = self._reached()
            answer = store.enter(_question(ask), claims, take=ask.take and not halted)
        except MissingError as error:
            self._lost(error)
            names = ",".join(rule.name for rule in ask.rules)
            return Grant(ask.leg, (describe(Reason.THROTTLE_UNKNOWN, throttle=names),))
        refusals: list[list[Refusal]] = [[] for _ in claims]
        for refusal in answer.refusals:
            refusals[refusal.claim].append(refusal)
        reasons: list[str] = []
        for rule, found in zip(ask.rules, refusals, strict=True):
            reasons += _reasons(rule, found, ask.notional)
        never = halted or any(not refusal.retry_at_us for refusal in answer.refusals)
        latest_us = max((refusal.retry_at_us for refusal in answer.refusals), default=0)
        asked = zip(ask.scopes, ask.rules, answer.held, strict=bool(answer.held))
        seen = tuple([_seen(scope, rule, held, ask.now_us) for scope, rule, held in asked])
        return Grant(ask.leg, tuple(reasons), 0 if never else latest_us, seen)

    def left(self, ask: Ask) -> None:
        """Tells the store of an exit, now or before the next question."""
        for scope in ask.scopes:
            # Whatever the rule now: another may have a cooldown.
            untold = self._untold.get(_name(scope))
            if untold is None or untold.at_us <= ask.now_us:
                self._untold[_name(scope)] = _question(ask)
        if not self._untold:
            return
        try:
            self._reached()
        except MissingError as error:
            self._lost(error)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _reached(self) -> ScopeStore:
        """The store, told of every exit."""
        if self._now_ns() < self._down_until_ns:
            raise MissingError("")
        if self._store is None:
            self._store = self._open_store()
        while self._untold:
            question = next(iter(self._untold.values()))
            together = [other for other, same in self._untold.items() if same == question]
            # A key that went on far elsewhere has exits later than this one.
            with contextlib.suppress(ForgottenAnswerError):
                self._store.leave(question, together)
            for other in together:
                del self._untold[other]
        return self._store

    def _lost(self, error: MissingError) -> None:
        if str(error):
            log.error("agent: wide throttles refuse all entries: %s", error)
            self._down_until_ns = self._now_ns() + limits.SCOPES_PAUSE_MS * NS_PER_MS


def _question(ask: Ask) -> Question:
    return Question(ask.key, ask.key_seq, ask.now_us, ask.leg)


def _name(scope: Scope) -> str:
    return ":".join(scope)


def _claim(scope: Scope, rule: Rule, notional: int) -> Claim:
    """A halted rule's limits are 0, so that nothing passes; of its refusals only the pauses' are told."""
    most = min(rule.max_notional, limits.MAX_NOTIONAL)
    return Claim(
        _name(scope),
        rule.window_us,
        rule.max_trades,
        most,
        notional,
        rule.spacing_us,
        rule.cooldown_us,
    )


def _seen(scope: Scope, rule: Rule, held: Held, at_us: int) -> Seen:
    never = rule.halted or any(not refusal.retry_at_us for refusal in held.refusals)
    latest_us = max((refusal.retry_at_us for refusal in held.refusals), default=0)
    return Seen(
        *scope,
        held.used,
        held.notional,
        0 if never or not latest_us else latest_us - at_us,
        tuple(_reasons(rule, held.refusals, LEAST_NOTIONAL)),
    )


def _reasons(rule: Rule, refusals: Iterable[Refusal], notional: int) -> list[str]:
    """A halted rule says so instead of that its limits, of 0, are reached."""
    if not rule.halted:
        return [_reason(rule, refusal, notional) for refusal in refusals]
    pauses = [refusal for refusal in refusals if refusal.rule in (Objection.SPACING, Objection.COOLDOWN)]
    return [rule.halted_text, *[_reason(rule, refusal, notional) for refusal in pauses]]


def _reason(rule: Rule, refusal: Refusal, notional: int) -> str:
    if refusal.rule == Objection.NOTIONAL:
        return notional_text(rule, refusal.used, notional)
    texts = {
        Objection.WINDOW: rule.window_text,
        Objection.SPACING: rule.spacing_text,
        Objection.COOLDOWN: rule.cooldown_text,
    }
    return texts[refusal.rule]
