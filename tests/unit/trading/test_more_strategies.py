from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import resolve, schema
from pipeline.errors import ConfigError
from pipeline.messages import Candle, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.strategies import (
    FULL,
    Custom,
    Ensemble,
    MeanReversion,
    SmaCross,
    Strategy,
    VolatilityTarget,
)
from pipeline.trading.strategies.protocol import advance

PRICES = st.lists(st.integers(1, 12), max_size=50)


def bar(close: int) -> Candle:
    return Candle("A", 0, close, close, close, close, 0)


def intents(strategy: Strategy, closes: list[int]) -> list[int | None]:
    memory, wanted = strategy.origin(), []
    for close in closes:
        memory, intent = strategy.step(memory, bar(close))
        wanted.append(intent)
        data = msgspec.msgpack.encode(memory)
        assert msgspec.msgpack.decode(data, type=strategy.memory) == memory
    return wanted


@given(PRICES, st.integers(2, 6), st.sampled_from(["1/2", "1", "5/4", "2"]), st.booleans())
def test_reversion_enters_beyond_exact_deviations_and_leaves_at_the_mean(
    closes: list[int], bars: int, deviations: str, short: bool
) -> None:
    limit, side, expected = Fraction(deviations), 0, []
    for end in range(1, len(closes) + 1):
        intent = None
        if end >= bars:
            window = closes[end - bars : end]
            mean = Fraction(sum(window), bars)
            variance = sum((close - mean) ** 2 for close in window) / bars
            away = window[-1] - mean
            if away**2 > limit**2 * variance and (away < 0 or (away > 0 and short)):
                side = 1 if away < 0 else -1
                intent = side * FULL
            elif (side > 0 and away >= 0) or (side < 0 and away <= 0):
                intent = side = 0
        expected.append(intent)
    assert intents(MeanReversion(bars, limit, short=short), closes) == expected


@given(PRICES, st.integers(2, 5), st.integers(1, 3_000))
def test_volatility_target_is_target_over_realised(closes: list[int], bars: int, target_bps: int) -> None:
    target = Fraction(target_bps, 10_000)
    wanted = intents(VolatilityTarget(bars, target, Fraction(0)), closes)
    last = None
    for end, intent in enumerate(wanted, 1):
        if end <= bars:
            assert intent is None
            continue
        window = closes[end - bars - 1 : end]
        moves = [(after - before) * 10**6 // before for before, after in pairwise(window)]
        mean = Fraction(sum(moves), bars)
        variance = sum((move - mean) ** 2 for move in moves) / bars
        size = FULL
        if variance:
            size = min(isqrt(int((target * 10**6 * FULL) ** 2 / variance)), FULL)
        assert (intent if intent is not None else last) == size
        last = size


def test_a_size_that_is_little_off_stays() -> None:
    closes = [100, 101, 100, 101, 100, 101, 103, 90, 120]
    eager = intents(VolatilityTarget(3, Fraction(1, 100), Fraction(0)), closes)
    lazy = intents(VolatilityTarget(3, Fraction(1, 100), Fraction(1, 2)), closes)
    assert sum(intent is not None for intent in lazy) < sum(intent is not None for intent in eager)


class Says(SmaCross):
    """Wants what its closes say."""

    def step(self, memory: Any, candle: Candle) -> tuple[Any, int | None]:
        return memory, None if candle.close == 9 else (candle.close - 5) * FULL // 4


class Late(Says):
    def step(self, memory: Any, candle: Candle) -> tuple[Any, int | None]:
        return memory, FULL if candle.close == 9 else None


def test_an_ensemble_wants_the_weighted_mean_of_what_its_members_want() -> None:
    whole = Ensemble([("a", Says(1, 2), Fraction(3)), ("b", Late(1, 2), Fraction(1))])
    assert intents(whole, [5, 7, 1, 9, 3]) == [0, 3_750, -7_500, -5_000, -1_250]


def test_weights_are_relative_and_their_order_is_none() -> None:
    one = Ensemble([("a", Says(1, 2), Fraction(1, 2)), ("b", Late(1, 2), Fraction(1, 6))])
    other = Ensemble([("b", Late(1, 2), Fraction(1)), ("a", Says(1, 2), Fraction(3))])
    assert intents(one, [7, 9, 2]) == intents(other, [7, 9, 2])
    assert one.tag == other.tag


def test_members_only_vote() -> None:
    trading = schema.Trading(
        strategies={
            "a": schema.Strategy(kind="sma_cross", fast=1, slow=2),
            "b": schema.Strategy(kind="breakout", lookback=2, exit_lookback=1),
            "both": schema.Strategy(kind="ensemble", members={"a": "2", "b": "1"}),
        }
    )
    agent = AgentLogic(trading)
    state = agent.origin("K")
    assert [slot.name for slot in state.slots] == ["both"]
    for day, close in enumerate([9, 8, 10, 12, 7], 1):
        state, _ = agent.step(state, Candle("K", day, close, close, close, close, 0), key_seq=day, at_us=0)
    assert agent.decode(agent.encode(state)) == state


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"kind": "ensemble"}, "members: an ensemble needs at least one"),
        ({"kind": "ensemble", "members": {"z": "1"}}, "members.z: no such strategy; there are x"),
        ({"kind": "ensemble", "members": {"x": "1"}}, "members.x: is an ensemble itself"),
        ({"kind": "custom"}, "source: missing"),
        ({"kind": "mean_reversion", "deviations": "0"}, "deviations = '0': above 0, at most 100"),
        ({"kind": "mean_reversion", "lookback": 1}, "lookback = 1: at least 2"),
        (
            {"kind": "volatility_target", "target_bps": "10001"},
            "target_bps = '10001': above 0, at most 10000",
        ),
        ({"kind": "volatility_target", "rebalance_percent": "101"}, "rebalance_percent = '101': allowed"),
    ],
)
def test_every_impossible_parameter_is_named(strategy: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"trading": {"strategies": {"x": strategy}}})
    assert f"trading.strategies.x.{message}" in str(caught.value)


# ---- users' own -----------------------------------------------------------------------------------------

GOOD = """
import msgspec

class Notes(msgspec.Struct, frozen=True, array_like=True):
    seen: int = 0

class Mine:
    memory = Notes
    def __init__(self, every=2):
        self.every = every
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        {body}
        seen = memory.seen + 1
        return Notes(seen), 10_000 if seen % self.every == 0 else None
"""


def written(folder: Path, body: str = "pass", text: str = GOOD) -> str:
    file = folder / "mine.py"
    file.write_text(text.replace("{body}", body))
    return f"{file}:Mine"


def test_a_strategy_from_a_file_trades_with_its_parameters(tmp_path: Path) -> None:
    source = written(tmp_path)
    assert intents(Custom(source, {"every": 3}), [1, 2, 3]) == [None, None, FULL]
    assert Custom(source, {"every": 3}).tag != Custom(source, {"every": 2}).tag
    before = Custom(source, {}).tag
    assert Custom(written(tmp_path, "x = 1"), {}).tag != before, "another code begins a memory anew"


IGNORING = """
        while True:
            try:
                int("x")
            except Exception:
                pass
"""
IGNORING_ONCE = """
        try:
            while True: pass
        except:
            pass
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise KeyError('x')", "STRATEGY_RAISED: error=KeyError at=mine.py:step"),
        ("while True: pass", "STRATEGY_OVERLONG: limit_instructions=300000"),
        (IGNORING, "STRATEGY_OVERLONG: limit_instructions=300000"),
        (IGNORING_ONCE, "STRATEGY_OVERLONG: limit_instructions=300000"),
        ("raise SystemExit(3)", "STRATEGY_RAISED: error=SystemExit at=mine.py:step"),
        ("return memory", "STRATEGY_NONSENSE: problem=answer_is_Notes_not_pair"),
        ("return memory, 0.5", "STRATEGY_NONSENSE: problem=intent_is_float_not_int"),
        ("return memory, 10_001", "STRATEGY_NONSENSE: problem=intent_beyond_10000"),
        ("return 5, 1", "STRATEGY_NONSENSE: problem=memory_is_int_not_Notes"),
    ],
)
def test_one_that_misbehaves_loses_its_leg_and_nothing_else(tmp_path: Path, body: str, reason: str) -> None:
    trading = schema.Trading(
        strategies={
            "mine": schema.Strategy(kind="custom", source=written(tmp_path, body)),
            "other": schema.Strategy(kind="sma_cross", fast=1, slow=2),
        }
    )
    agent = AgentLogic(trading)
    state = agent.origin("K")
    for day, close in enumerate([9, 8, 10], 1):
        state, decision = agent.step(
            state, Candle("K", day, close, close, close, close, 0), key_seq=day, at_us=0
        )
        assert (decision.legs[0].verdict, decision.legs[0].reasons) == (Verdict.FAILED, (reason,))
    assert decision.legs[1].verdict == Verdict.ORDERED


UNKIND = """
import msgspec

class Notes(msgspec.Struct, frozen=True, array_like=True):
    seen: int = 0
    def __post_init__(self):
        if self.seen == 2:
            {body}
    def __eq__(self, other):
        while True: pass

class Mine:
    memory = Notes
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        return Notes(memory.seen + 1), None
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while True: pass", "STRATEGY_OVERLONG"),
        ("raise SystemExit(7)", "STRATEGY_RAISED: error=SystemExit at=mine.py:__post_init__"),
        ("pass", ""),
    ],
)
def test_what_its_memory_s_type_does_is_its_own_fault(tmp_path: Path, body: str, reason: str) -> None:
    strategy = Custom(written(tmp_path, body, UNKIND), {})
    memory = strategy.origin()
    found = []
    for day in range(1, 4):
        memory, _, fault = advance(strategy, memory, Candle("K", day, 9, 9, 9, 9, 0))
        found.append(fault)
    assert found[0] == ""
    assert found[1].startswith(reason)
    assert bool(found[1]) == bool(reason), "an __eq__ that never ends is not asked"


CHANGING = """
import msgspec

class Notes(msgspec.Struct):
    seen: list[int]

class Mine:
    memory = Notes
    def origin(self):
        return Notes([])
    def step(self, memory, candle):
        memory.seen.append(candle.close)
        if candle.close == 7:
            raise ValueError
        return memory, None
"""


@pytest.mark.parametrize(
    ("close", "reason"),
    [
        (5, "STRATEGY_NONSENSE: problem=memory_changed_in_place"),
        (7, "STRATEGY_RAISED: error=ValueError at=mine.py:step"),
    ],
)
def test_a_memory_that_is_changed_in_place_is_as_it_was_and_the_leg_fails(
    tmp_path: Path, close: int, reason: str
) -> None:
    mine = Custom(written(tmp_path, text=CHANGING), {})
    memory, intent, fault = advance(mine, mine.origin(), bar(close))
    assert (memory.seen, intent, fault) == ([], None, reason)


def test_a_member_that_misbehaves_fails_its_ensemble_with_its_own_reason(tmp_path: Path) -> None:
    bad = Custom(written(tmp_path, "raise KeyError"), {})
    whole = Ensemble([("a", SmaCross(1, 2), Fraction(1)), ("bad", bad, Fraction(1))])
    memory = whole.origin()
    after, intent, fault = advance(whole, memory, bar(5))
    assert (after, intent, fault) == (memory, None, "STRATEGY_RAISED: error=KeyError at=mine.py:step")


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("", "{folder}/none.py:Mine", "No such file or directory"),
        ("x = 1", "{folder}/mine.py:Mine", "the file has no class Mine"),
        (
            "x = ",
            "{folder}/mine.py:Mine",
            "cannot be loaded: SyntaxError: invalid syntax",
        ),
        ("1 / 0", "{folder}/mine.py:Mine", "cannot be loaded: ZeroDivisionError"),
        ("import sys; sys.exit(2)", "{folder}/mine.py:Mine", "cannot be loaded: SystemExit: 2"),
        ("class Mine: pass", "{folder}/mine.py:Mine", "has no method origin"),
        (
            "class Mine:\n def __init__(self, a): pass",
            "{folder}/mine.py:Mine",
            "it cannot be made of its parameters",
        ),
        (
            "class Mine:\n def origin(self): return 1\n def step(self): pass",
            "{folder}/mine.py:Mine",
            "memory must name the type",
        ),
        (
            "class Mine:\n memory = int\n def origin(self): return ''\n def step(self): pass",
            "{folder}/mine.py:Mine",
            "memory must name the type of its memory, a msgspec Struct",
        ),
        (
            (
                "import msgspec\nclass N(msgspec.Struct): pass\n"
                "class Mine:\n memory = N\n def origin(self): return ''\n def step(self): pass"
            ),
            "{folder}/mine.py:Mine",
            "origin() gave str, not N",
        ),
        (
            (
                "import msgspec\nclass N(msgspec.Struct):\n def __post_init__(self): raise SystemExit(7)\n"
                "class Mine:\n memory = N\n def origin(self): return N()\n def step(self): pass"
            ),
            "{folder}/mine.py:Mine",
            "origin() failed: SystemExit: 7",
        ),
        (
            (
                "import msgspec\nclass N(msgspec.Struct): pass\nclass Mine:\n memory = N\n"
                " def origin(self):\n  while True: pass\n def step(self): pass"
            ),
            "{folder}/mine.py:Mine",
            "origin() failed: takes more than",
        ),
        (
            "class Mine:\n def __init__(self): raise GeneratorExit\n",
            "{folder}/mine.py:Mine",
            "it cannot be made of its parameters: GeneratorExit",
        ),
        ("", "momentum", "neither FILE.py:CLASS nor an installed entry point of ringline.strategies"),
    ],
)
def test_one_that_cannot_be_used_is_told_when_the_configuration_is_compiled(
    tmp_path: Path, text: str, source: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    strategy = schema.Strategy(kind="custom", source=source.format(folder=tmp_path))
    with pytest.raises(ConfigError) as caught:
        AgentLogic(schema.Trading(strategies={"x": strategy}))
    assert str(caught.value).startswith("trading.strategies.x: custom: ")
    assert message in str(caught.value)
