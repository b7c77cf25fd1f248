"""What throttles must say of any history, counted anew from all of it for each entry: no memory, no blocks,
no stores. And random histories of several keys: entries, exits, reversals, flattens, late events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import strategies as st

from pipeline.clock import US_PER_S
from pipeline.config.schema import Override, Scope, Throttle
from pipeline.messages import BUY, SELL, Leg, Verdict
from pipeline.trading.reasons import code_of

ONE = 10_000
"""A quantity or a price of 1, scaled; an entry's notional is in units of ONE × ONE."""
FLATTEN = 9
"""In place of a side."""


Count = tuple[str, ...]
"""A throttle, and what it counts together."""
Counts = list[tuple[Throttle, Count]]


class Entry(NamedTuple):
    at_us: int
    notional: int


class Wish(NamedTuple):
    """`side`: buy, sell, close or FLATTEN; `late_s` behind the latest event of any key."""

    after_us: int
    late_s: int
    symbol: str
    strategy: str
    side: int
    quantity: int
    price: int


class Answer(NamedTuple):
    """Of a leg: what refuses it, by throttle and code, and when it would pass (0: never, or it does)."""

    intent: str
    side: int
    quantity: int
    refusals: frozenset[tuple[str, str]]
    retry_at_us: int


class ThrottleOracle:
    """A desk without any limit but its throttles."""

    def __init__(self, throttles: tuple[Throttle, ...]) -> None:
        self._throttles = throttles
        self._entries: defaultdict[Count, list[Entry]] = defaultdict(list)
        self._exits: dict[Count, int] = {}
        self._asked: defaultdict[Count, int] = defaultdict(int)
        self._clocks: defaultdict[str, int] = defaultdict(int)
        self.positions: defaultdict[tuple[str, str], int] = defaultdict(int)

    def flatten(self, symbol: str, at_us: int) -> set[Answer]:
        """At its own time, as any exit."""
        if symbol in self._clocks:
            self._clocks[symbol] = max(self._clocks[symbol], at_us)
        found = set()
        for (strategy, key), position in list(self.positions.items()):
            if key == symbol and position:
                found.add(self._left(strategy, symbol, -position))
        return found

    def signal(self, wish: Wish, at_us: int) -> list[Answer]:
        strategy, symbol = wish.strategy, wish.symbol
        self._clocks[symbol] = max(self._clocks[symbol], at_us)
        position = self.positions[strategy, symbol]
        wanted = position + wish.side * wish.quantity if wish.side else 0
        answers = []
        if position * (wanted - position) < 0:
            after = wanted if position * wanted > 0 else 0
            answers.append(self._left(strategy, symbol, after - position))
        missing = wanted - self.positions[strategy, symbol]
        if missing:
            answers.append(self._wanted(strategy, symbol, missing, abs(missing) * wish.price))
        return answers

    def _left(self, strategy: str, symbol: str, change: int) -> Answer:
        self.positions[strategy, symbol] += change
        for _, count in self._counts(strategy, symbol):
            latest_us = max(self._exits.get(count, 0), self._asked[count])
            self._exits[count] = max(latest_us, self._clocks[symbol])
        return Answer("exit", _side(change), abs(change), frozenset(), 0)

    def _wanted(self, strategy: str, symbol: str, change: int, notional: int) -> Answer:
        counts = list(self._counts(strategy, symbol))
        for _, count in counts:
            self._asked[count] = max(self._asked[count], self._clocks[symbol])
        now_us = self._clocks[symbol]
        refusals = frozenset(self._refusals(counts, now_us, notional))
        if not refusals:
            self.positions[strategy, symbol] += change
            for _, count in counts:
                self._entries[count].append(Entry(self._asked[count], notional))
        retry_us = self._earliest(counts, now_us, notional) if refusals else 0
        return Answer("entry", _side(change), abs(change), refusals, retry_us)

    def _counts(self, strategy: str, symbol: str) -> Iterator[tuple[Throttle, Count]]:
        """The throttles that an entry meets, with its limits, and what each of them counts it in."""
        for throttle in self._throttles:
            if not _meets(throttle.scope, strategy, symbol):
                continue
            parts = {"symbol": (symbol,), "strategy": (strategy,), "global": ()}
            effective = throttle
            for override in throttle.overrides:
                if _meets(override.scope, strategy, symbol):
                    assert override.max_trades is not None
                    effective = Throttle(**(_fields(throttle) | {"max_trades": override.max_trades}))
            yield effective, (throttle.name, *parts.get(throttle.per, (strategy, symbol)))

    def _refusals(self, counts: Counts, now_us: int, notional: int) -> Iterator[tuple[str, str]]:
        for throttle, count in counts:
            for code in self._codes(throttle, count, max(now_us, self._asked[count]), notional):
                yield throttle.name, f"THROTTLE_{code}"

    def _codes(self, throttle: Throttle, count: Count, now_us: int, notional: int) -> Iterator[str]:
        share = Fraction(throttle.multiplier)
        window_us = throttle.window_seconds * US_PER_S
        inside = [entry for entry in self._entries[count] if now_us < entry.at_us + window_us]
        if not share:
            yield "HALTED"
        else:
            if throttle.max_trades and len(inside) + 1 > int(throttle.max_trades * share):
                yield "WINDOW"
            most = int(Fraction(throttle.max_notional) * ONE * ONE * share)
            if Fraction(throttle.max_notional) and sum(entry.notional for entry in inside) + notional > most:
                yield "NOTIONAL"
        last = self._entries[count][-1:]
        if last and now_us < last[0].at_us + throttle.min_spacing_seconds * US_PER_S:
            yield "SPACING"
        if count in self._exits and now_us < self._exits[count] + throttle.cooldown_seconds * US_PER_S:
            yield "COOLDOWN"

    def _earliest(self, counts: Counts, now_us: int, notional: int) -> int:
        """The first instant at which something ends and nothing refuses any more; 0: there is none."""
        ends = set()
        for throttle, count in counts:
            seconds = (throttle.window_seconds, throttle.min_spacing_seconds, throttle.cooldown_seconds)
            times = [entry.at_us for entry in self._entries[count]]
            times += [self._exits[count]] if count in self._exits else []
            ends |= {time_us + pause * US_PER_S for time_us in times for pause in seconds}
        for end_us in sorted(ends):
            if end_us > now_us and not list(self._refusals(counts, end_us, notional)):
                assert list(self._refusals(counts, end_us - 1, notional)), "an instant before was enough"
                return end_us
        return 0


def told(leg: Leg) -> Answer:
    """A leg in the oracle's words."""
    refusals = {(reason.rpartition("throttle=")[2], code_of(reason)) for reason in leg.reasons}
    assert len(refusals) == len(leg.reasons)
    assert (leg.verdict == Verdict.ORDERED) == (not refusals)
    return Answer(leg.intent, leg.side, leg.quantity, frozenset(refusals), leg.retry_at_us)


def _meets(scope: Scope, strategy: str, symbol: str) -> bool:
    return scope.strategy_id in (None, strategy) and scope.symbol in (None, symbol)


def _side(change: int) -> int:
    return BUY if change > 0 else SELL


def _fields(throttle: Throttle) -> dict[str, Any]:
    return {name: getattr(throttle, name) for name in throttle.__struct_fields__}


_NAMED = {
    "strategy_and_symbol": Scope(strategy_id="a", symbol="X"),
    "symbol": Scope(symbol="X"),
    "strategy": Scope(strategy_id="a"),
}


@st.composite
def throttles(draw: st.DrawFn, pers: tuple[str, ...] = (*_NAMED, "global")) -> tuple[Throttle, ...]:
    found = []
    for index in range(draw(st.integers(1, 3))):
        per: Any = draw(st.sampled_from(pers))
        overrides: tuple[Override, ...] = ()
        if per in _NAMED and draw(st.integers(0, 3)) == 3:
            overrides = (Override(scope=_NAMED[per], max_trades=draw(st.sampled_from([0, 1, 4]))),)
        throttle = Throttle(
            name=f"t{index}",
            per=per,
            max_trades=draw(st.sampled_from([0, 1, 2, 3])),
            window_seconds=draw(st.sampled_from([3, 20, 90])),
            max_notional=draw(st.sampled_from(["0", "0", "12", "6.5"])),
            cooldown_seconds=draw(st.sampled_from([0, 0, 5, 25])),
            min_spacing_seconds=draw(st.sampled_from([0, 0, 4])),
            multiplier=draw(st.sampled_from(["1", "1", "1", "0.5", "0"])),
            scope=Scope(
                strategy_id=draw(st.sampled_from([None, None, None, "a"])),
                symbol=draw(st.sampled_from([None, None, None, "X"])),
            ),
            overrides=overrides,
        )
        found.append(throttle)
    return tuple(found)


HISTORIES = st.lists(
    st.builds(
        Wish,
        st.sampled_from([0, 1, US_PER_S - 1, US_PER_S, 4 * US_PER_S, 21 * US_PER_S]),
        st.sampled_from([0, 0, 0, 2, 30]),
        st.sampled_from("XY"),
        st.sampled_from("ab"),
        st.sampled_from([BUY, BUY, BUY, SELL, 0, FLATTEN]),
        st.integers(1, 3).map(lambda units: units * ONE),
        st.integers(1, 3).map(lambda units: units * ONE),
    ),
    min_size=1,
    max_size=40,
)
