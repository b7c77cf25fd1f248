"""The scope store's protocol: what is asked of a limit that many keys share, and how it is answered.

A scope's time is that of its events and never falls: an event that comes late counts as of the newest seen.
Windows are half-open: an entry at t counts at every instant before t + window. Every claim of an entry is
judged, and nothing is noted unless all pass. What was answered once is answered so again, whoever asks.

What is remembered of a scope depends on no claim: its last exit, and its last `limits.MAX_WINDOW_TRADES`
entries of the `limits.MAX_SCOPE_TIME_US` before the last one. So whatever limits a claim brings, it counts
what was entered under others.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from pipeline import limits
from pipeline.errors import MissingError

OFF = -1
"""A limit that is not set."""


class ScopeStoreError(MissingError):
    """There is no answer, so nothing may be entered: the store is away, or has forgotten what it knew."""


class ForgottenAnswerError(ScopeStoreError):
    """The question is so old that its answer is no longer kept."""


class Rule(IntEnum):
    """Which limit refused."""

    WINDOW = 1
    NOTIONAL = 2
    SPACING = 3
    COOLDOWN = 4


class Ask(Struct, frozen=True):
    """Who asks: event `key_seq` of `key`, at `at_us` (microseconds, the event's own clock). `part` tells
    several questions of one event apart."""

    key: str
    key_seq: int
    at_us: int
    part: int = 0


class Claim(Struct, frozen=True):
    """An entry of `notional` into `scope`, under its limits; 0 switches spacing and cooldown off."""

    scope: str
    window_us: int
    max_trades: int = OFF
    max_notional: int = OFF
    notional: int = 0
    spacing_us: int = 0
    cooldown_us: int = 0

    @property
    def room(self) -> int:
        """Entries the window may hold; OFF where neither they nor their notionals are limited."""
        if self.max_trades == OFF and self.max_notional != OFF:
            return limits.MAX_WINDOW_TRADES
        return self.max_trades


class Refusal(Struct, frozen=True):
    """`claim` is its place in the question. `retry_at_us`: the earliest instant at which this rule would
    pass if nothing else happened; 0: never. `used`: the window's notional, where that refused."""

    claim: int
    rule: Rule
    retry_at_us: int
    used: int = 0


class Held(Struct, frozen=True):
    """What a claim's scope holds after the question: entries in the window and their notionals (each 0 where
    it is not limited), and what would refuse the smallest entry."""

    used: int
    notional: int
    refusals: tuple[Refusal, ...] = ()


class Answer(Struct, frozen=True):
    """Every rule that refused, in the order of the claims; allowed when none did. `held` has one for each
    claim; none where a version that told nothing of it gave the answer."""

    refusals: tuple[Refusal, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.refusals


class ScopeStore(Protocol):
    """Every engine passes the same contract suite. Belongs to one thread."""

    def enter(self, ask: Ask, claims: Sequence[Claim], *, take: bool = True) -> Answer:
        """May an entry happen that claims all of `claims`, each of another scope? If so it is noted, unless
        `take` is false: then it is only judged.

        Raises ScopeStoreError when that cannot be known, and ValueError when the question makes no sense.
        """

    def leave(self, ask: Ask, scopes: Sequence[str]) -> None:
        """Notes an exit, from which cooldowns run. It is never refused, and moves no scope's time: whether a
        cooldown is set makes no difference to other rules. Raises as `enter`."""

    def close(self) -> None: ...


def check_question(ask: Ask, claims: Sequence[Claim]) -> None:
    """Raises ValueError naming what is out of bounds: engines count exactly only within them."""
    if ask.key_seq < 1 or ask.part < 0 or not 0 <= ask.at_us <= limits.MAX_EVENT_TIME_US:
        raise ValueError(f"{ask}: key_seq from 1, part from 0, time up to {limits.MAX_EVENT_TIME_US} µs")
    if len({claim.scope for claim in claims}) != len(claims) or len(claims) > limits.MAX_CLAIMS:
        raise ValueError(f"{len(claims)} claims: at most {limits.MAX_CLAIMS}, each of another scope")
    for claim in claims:
        times = (claim.window_us, claim.spacing_us, claim.cooldown_us)
        if not all(0 <= time_us <= limits.MAX_SCOPE_TIME_US for time_us in times):
            raise ValueError(f"{claim}: times from 0 to {limits.MAX_SCOPE_TIME_US} µs")
        if not OFF <= claim.max_trades <= limits.MAX_WINDOW_TRADES:
            raise ValueError(f"{claim}: max_trades up to {limits.MAX_WINDOW_TRADES}")
        if not (
            OFF <= claim.max_notional <= limits.MAX_NOTIONAL and 0 <= claim.notional <= limits.MAX_NOTIONAL
        ):
            raise ValueError(f"{claim}: notionals from 0 to {limits.MAX_NOTIONAL}")
