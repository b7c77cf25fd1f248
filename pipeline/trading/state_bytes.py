"""The byte form of the agent's state; equal states give equal bytes, whatever was configured before.

What throttles remember of a slot stands in it as one list under no throttle's name. Version 3 kept a list a
throttle instead, only as much as its own rule needed; both are written, so that such a worker can go on from
these bytes, and read. What version 3 did not keep is lost: under rules that need more than its own, such a
state is not the one that all rows give.

What throttles remember of all slots together is theirs taken together, and is written only where it is more:
where a slot had to go, or two strategies entered at one instant. Version 4 never wrote it; what a slot that
went before the upgrade had entered is lost to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.trading.scopes import LastSeen
from pipeline.trading.state import NO_LAG_YET, Slot, State
from pipeline.trading.throttle import OFF, Rule
from pipeline.trading.throttle_memory import NEVER_YET, ScopeState, remembered, together

_EVERY = ""
"""In place of a throttle's name: all that is remembered."""
_UNKNOWN = limits.MAX_NOTIONAL
"""Of an entry whose notional nobody wrote down: the most there can be, so that no limit is passed by it."""


class _Scope(Struct, frozen=True, array_like=True, gc=False):
    throttle: str
    times: tuple[int, ...] = ()
    notionals: tuple[int, ...] = ()
    entry_us: int = NEVER_YET
    exit_us: int = NEVER_YET


class _Slot(Struct, frozen=True, array_like=True, gc=False):
    name: str
    tag: str
    memory: Any
    position: int
    scopes: tuple[_Scope, ...]


class _State(Struct, frozen=True, array_like=True, gc=False):
    """The fields of `State`, in their order."""

    symbol: str
    clock_us: int
    candle_us: int
    close: int
    mark: int
    halted: str
    peak: int
    reach: int
    orders: int
    slots: tuple[_Slot, ...]
    day: int = 0
    day_profit: int = 0
    wide: tuple[LastSeen, ...] = ()
    scope: tuple[_Scope, ...] = ()
    lag_us: int = NO_LAG_YET


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_State)


def encode_state(state: State, rules_of: Callable[[str], Sequence[Rule]]) -> bytes:
    """`rules_of` a strategy are those that version 3 would keep a list for."""
    slots = [
        _Slot(slot.name, slot.tag, slot.memory, slot.position, _written(slot.scope, rules_of(slot.name)))
        for slot in state.slots
    ]
    fields = {name: getattr(state, name) for name in _State.__struct_fields__}
    more = () if state.scope == together(slot.scope for slot in state.slots) else (_whole(state.scope),)
    return _encode(_State(**(fields | {"slots": tuple(slots), "scope": more})))


def decode_state(data: bytes) -> State:
    """The state in `data`; memories are still plain lists and numbers, see `Plan.adopt`.

    Raises msgspec.ValidationError or DecodeError on foreign bytes.
    """
    plain = _decoder.decode(data)
    slots = [
        Slot(slot.name, slot.tag, slot.memory, slot.position, _read(slot.scopes)) for slot in plain.slots
    ]
    fields = {name: getattr(plain, name) for name in _State.__struct_fields__}
    scope = _read(plain.scope) if plain.scope else together(slot.scope for slot in slots)
    return State(**(fields | {"slots": tuple(slots), "scope": scope}))


def _written(scope: ScopeState, rules: Iterable[Rule]) -> tuple[_Scope, ...]:
    if scope.entry_us == scope.exit_us == NEVER_YET:
        return tuple(_Scope(rule.name) for rule in rules)
    entries = scope.entries()
    return (*[_of_rule(rule, entries, scope) for rule in rules], _whole(scope))


def _whole(scope: ScopeState) -> _Scope:
    entries = scope.entries()
    return _Scope(
        _EVERY,
        tuple([time_us for time_us, _ in entries]),
        tuple([notional for _, notional in entries]),
        scope.entry_us,
        scope.exit_us,
    )


def _of_rule(rule: Rule, entries: Sequence[tuple[int, int]], scope: ScopeState) -> _Scope:
    kept: Sequence[tuple[int, int]] = ()
    if rule.room != OFF:
        kept = [entry for entry in entries if entry[0] > scope.entry_us - rule.window_us]
    return _Scope(
        rule.name,
        tuple([time_us for time_us, _ in kept]),
        tuple([notional for _, notional in kept]) if rule.max_notional != OFF else (),
        scope.entry_us if rule.spacing_us else NEVER_YET,
        scope.exit_us if rule.cooldown_us else NEVER_YET,
    )


def _read(scopes: Sequence[_Scope]) -> ScopeState:
    for scope in scopes:
        if scope.throttle == _EVERY:
            return remembered(zip(scope.times, scope.notionals, strict=True), scope.exit_us)
    return _joined(scopes)


def _joined(scopes: Sequence[_Scope]) -> ScopeState:
    """Of what version 3 kept for each throttle: each has the last entries within its window, some with their
    notionals. One that had a limit on notionals for part of the time knows not which they belong to."""
    times: tuple[int, ...] = max((scope.times for scope in scopes), key=len, default=())
    last_us = max((scope.entry_us for scope in scopes), default=NEVER_YET)
    known = max((s.notionals for s in scopes if len(s.notionals) == len(s.times)), key=len, default=())
    notionals = (_UNKNOWN,) * (len(times) - len(known)) + known
    entries = list(zip(times, notionals, strict=True))
    if last_us > (times[-1] if times else NEVER_YET):
        entries.append((last_us, _UNKNOWN))
    return remembered(entries, max((scope.exit_us for scope in scopes), default=NEVER_YET))
