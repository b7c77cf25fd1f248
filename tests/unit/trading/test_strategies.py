from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from pipeline import limits
from pipeline.messages import Candle
from pipeline.trading.strategies import (
    FULL,
    KINDS,
    Breakout,
    Ensemble,
    MeanReversion,
    SmaCross,
    Strategy,
    VolatilityTarget,
)
from pipeline.trading.strategies.protocol import advance

PRICES = st.lists(st.integers(1, 9), max_size=60)


def bar(close: int, high: int = 0, low: int = 0) -> Candle:
    return Candle("A", 0, close, high or close, low or close, close, 0)


def intents(strategy: Strategy, candles: Iterable[Candle]) -> list[int | None]:
    memory, wanted = strategy.origin(), []
    for candle in candles:
        memory, intent = strategy.step(memory, candle)
        wanted.append(intent)
        data = msgspec.msgpack.encode(memory)
        assert msgspec.msgpack.decode(data, type=strategy.memory) == memory
    return wanted


@given(PRICES, st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_sma_crosses_where_exact_averages_cross(closes: list[int], fast: int, more: int, short: bool) -> None:
    slow, above, expected = fast + more, 0, []
    for end in range(1, len(closes) + 1):
        intent = None
        if end >= slow:
            quick = Fraction(sum(closes[end - fast : end]), fast)
            steady = Fraction(sum(closes[end - slow : end]), slow)
            if quick != steady:
                now_above = 1 if quick > steady else -1
                if above and now_above != above:
                    intent = FULL if now_above > 0 else -FULL if short else 0
                above = now_above
        expected.append(intent)
    assert intents(SmaCross(fast, slow, short=short), map(bar, closes)) == expected


def test_a_touch_of_the_averages_is_no_cross() -> None:
    assert intents(SmaCross(1, 2), map(bar, [5, 4, 4, 3, 3, 5])) == [None] * 5 + [FULL]


def test_the_first_known_relation_is_no_cross() -> None:
    assert intents(SmaCross(1, 2), map(bar, [4, 5, 6])) == [None] * 3


@given(
    st.lists(st.tuples(st.integers(2, 9), st.integers(0, 2), st.integers(0, 1)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
    st.booleans(),
)
def test_breakout_breaks_where_the_channel_of_the_bars_before_says(
    shapes: list[tuple[int, int, int]], look: int, out: int, short: bool
) -> None:
    candles = [bar(close, close + up, close - down) for close, up, down in shapes]
    side, expected = 0, []
    for end, candle in enumerate(candles):
        highs, lows = [c.high for c in candles[:end]], [c.low for c in candles[:end]]
        intent = None
        if end >= look and candle.close > max(highs[-look:]):
            intent, side = FULL, 1
        elif short and end >= look and candle.close < min(lows[-look:]):
            intent, side = -FULL, -1
        elif (side > 0 and end >= out and candle.close < min(lows[-out:])) or (
            side < 0 and end >= out and candle.close > max(highs[-out:])
        ):
            intent, side = 0, 0
        expected.append(intent)
    assert intents(Breakout(look, out, short=short), candles) == expected


def test_a_close_on_the_channels_edge_is_no_break() -> None:
    assert intents(Breakout(2, 1), map(bar, [5, 6, 6, 7])) == [None, None, None, FULL]


@given(PRICES, PRICES, st.sampled_from([SmaCross(2, 4), Breakout(3, 2, short=True)]))
def test_what_comes_later_never_changes_what_was_wanted_before(
    past: list[int], future: list[int], strategy: Strategy
) -> None:
    assert intents(strategy, map(bar, past + future))[: len(past)] == intents(strategy, map(bar, past))


@pytest.mark.parametrize("make", [lambda: SmaCross(5, 5), lambda: SmaCross(0, 3), lambda: Breakout(0, 3)])
def test_impossible_parameters_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"sma_cross|breakout"):
        make()


def test_the_largest_windows_fit_in_64_bits_and_in_their_limit() -> None:
    price = limits.MAX_SCALED
    strategies: tuple[Strategy, ...] = (SmaCross(999, 1000), Breakout(1000, 1000, short=True))
    for strategy in strategies:
        memory = strategy.origin()
        for _ in range(1001):
            memory, _ = strategy.step(memory, bar(price))
        assert len(msgspec.msgpack.encode(memory)) <= limits.MAX_MEMORY_BYTES


def test_every_kind_has_a_tag_of_its_own_for_every_parameter() -> None:
    tags = {SmaCross(2, 4).tag, SmaCross(2, 5).tag, SmaCross(2, 4, short=True).tag}
    assert len(tags | {Breakout(2, 4).tag, Breakout(4, 2).tag, Breakout(2, 4, short=True).tag}) == 6
    reversions = [MeanReversion(3, Fraction(2)), MeanReversion(4, Fraction(2)), MeanReversion(3, Fraction(1))]
    assert len({one.tag for one in reversions} | {MeanReversion(3, Fraction(2), short=True).tag}) == 4
    half = Fraction(1, 2)
    targets = [
        VolatilityTarget(3, half, half),
        VolatilityTarget(4, half, half),
        VolatilityTarget(3, half, 0 * half),
    ]
    assert len({one.tag for one in targets}) == 3
    votes = [Ensemble([("a", SmaCross(2, 4), Fraction(1))]), Ensemble([("a", SmaCross(2, 5), Fraction(1))])]
    assert len({one.tag for one in votes}) == 2
    assert sorted(KINDS) == ["breakout", "custom", "mean_reversion", "sma_cross", "volatility_target"]


class Note(Struct, frozen=True, array_like=True):
    seen: int = 0


class Foreign:
    """A user's strategy that answers whatever it was given."""

    tag = "foreign"
    memory = Note
    vetted = False

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def origin(self) -> Note:
        return Note()

    def step(self, memory: Note, candle: Candle) -> Any:
        return self._answer() if callable(self._answer) else self._answer


def raising() -> Any:
    raise ZeroDivisionError("object at 0x7f00")


class Evil(Struct, frozen=True):
    made: int = 0

    def __post_init__(self) -> None:
        if self.made:
            raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "answer_is_NoneType_not_pair"),
        ((Note(), 1, 2), "answer_is_tuple_not_pair"),
        ([Note(), 1], "answer_is_list_not_pair"),
        ((Note(), 0.5), "intent_is_float_not_int"),
        ((Note(), True), "intent_is_bool_not_int"),
        ((Note(), FULL + 1), "intent_beyond_10000"),
        ((None, 0), "memory_is_NoneType_not_Note"),
        ((Note(seen=1.5), 0), "memory_does_not_survive_msgpack"),  # type: ignore[arg-type]
        ((Note(seen=object()), 0), "memory_does_not_survive_msgpack"),  # type: ignore[arg-type]
        ((Note(seen=2**70), 0), "memory_does_not_survive_msgpack"),
        ((Note(seen=b"x" * limits.MAX_MEMORY_BYTES), 0), "memory_beyond_65536_bytes"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_fails_with_its_reason_and_keeps_the_old_memory(answer: Any, problem: str) -> None:
    memory = Note(41)
    after, intent, fault = advance(Foreign(answer), memory, bar(1))
    assert after is memory
    assert intent is None
    assert fault == f"STRATEGY_NONSENSE: problem={problem}"


def test_a_raise_fails_with_its_type_and_place_but_without_its_text() -> None:
    after, intent, fault = advance(Foreign(raising), Note(41), bar(1))
    assert (after, intent) == (Note(41), None)
    assert fault == "STRATEGY_RAISED: error=ZeroDivisionError at=test_strategies.py:raising"


def test_a_memory_whose_own_code_raises_is_nonsense() -> None:
    after = Evil()
    msgspec.structs.force_setattr(after, "made", 1)
    strategy = Foreign((after, 0))
    strategy.memory = Evil  # type: ignore[assignment]
    assert advance(strategy, Evil(), bar(1))[2].endswith("memory_does_not_survive_msgpack")


def test_a_good_answer_passes_unchanged() -> None:
    assert advance(Foreign((Note(2), -5)), Note(1), bar(1)) == (Note(2), -5, "")
