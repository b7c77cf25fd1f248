"""Pricing models and their agreement: exact, and laws where there are laws."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from statistics import median as exact_median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits, valuation_limits
from pipeline.config.valuation import Model, Valuation
from pipeline.messages import Candle
from pipeline.valuation.amounts import half_even, median, money_text
from pipeline.valuation.ensemble import agree
from pipeline.valuation.model import OVERLONG, Answer, ask
from pipeline.valuation.models import (
    Exponential,
    Last,
    MedianClose,
    Typical,
    VolumeWeighted,
    compile_models,
)
from pipeline.valuation.strikes import Strikes

PRICES = st.integers(1, limits.MAX_SCALED)


@st.composite
def bars(draw: st.DrawFn) -> tuple[Candle, ...]:
    made = []
    for number in range(draw(st.integers(0, 12))):
        low, opened, close, high = sorted(draw(st.tuples(PRICES, PRICES, PRICES, PRICES)))
        made.append(Candle("S", number, opened, high, low, close, draw(st.integers(0, limits.MAX_SCALED))))
    return tuple(made)


@settings(deadline=None)
@given(st.integers(), st.integers(1, 10**20))
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@settings(deadline=None)
@given(st.lists(st.integers(), min_size=1))
def test_the_median_is_the_exact_one_rounded_once(values: list[int]) -> None:
    assert median(values) == round(exact_median(map(Fraction, values)))


def test_sums_are_told_exactly() -> None:
    assert money_text(1) == "0.0000000000000001"
    assert money_text(-15 * 10**15) == "-1.5"


ALL = [Last(), VolumeWeighted(4), Exponential(3), Typical(), MedianClose(5)]


@settings(deadline=None)
@given(PRICES, bars())
@pytest.mark.parametrize("model", ALL, ids=lambda model: type(model).__name__)
def test_every_price_is_within_what_was_seen(model: Last, mark: int, bars: tuple[Candle, ...]) -> None:
    price = model.price(mark, bars)
    lowest = min([mark, *(bar.low for bar in bars)])
    highest = max([mark, *(bar.high for bar in bars)])
    assert price is None or (type(price) is int and lowest <= price <= highest)
    if bars and any(bar.volume for bar in bars[-4:]):
        assert price is not None


@settings(deadline=None)
@given(bars())
def test_the_weighted_price_is_the_exact_quotient(bars: tuple[Candle, ...]) -> None:
    seen = bars[-4:]
    volume = sum(bar.volume for bar in seen)
    weighted = sum(Fraction(bar.high + bar.low + bar.close, 3) * bar.volume for bar in seen)
    assert VolumeWeighted(4).price(1, bars) == (round(weighted / volume) if volume else None)


@settings(deadline=None)
@given(bars())
def test_the_exponential_price_is_the_exact_mean_to_a_unit(bars: tuple[Candle, ...]) -> None:
    seen = bars[-9:]
    if not seen:
        assert Exponential(3).price(1, bars) is None
        return
    value = Fraction(seen[0].close)
    for bar in seen:
        value += Fraction(2, 4) * (bar.close - value)
    found = Exponential(3).price(1, bars)
    assert found is not None
    assert abs(found - value) <= Fraction(1, 2) + Fraction(1, 1000)


@settings(deadline=None)
@given(st.lists(PRICES, min_size=3, max_size=9), st.data())
def test_fewer_than_half_of_the_models_cannot_move_the_median_out_of_the_others(
    prices: list[int], data: st.DataObject
) -> None:
    wrong = data.draw(st.lists(PRICES, max_size=(len(prices) - 1)))
    agreed = agree([Answer("m", price) for price in [*prices, *wrong]], prices[0])
    assert agreed is not None
    assert min(prices) <= agreed.price <= max(prices)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), PRICES), min_size=1, max_size=9), PRICES)
def test_confidence_is_a_share_and_whole_only_where_all_agree(prices: list[int | None], mark: int) -> None:
    agreed = agree([Answer("m", price) for price in prices], mark)
    if agreed is None:
        assert not any(prices)
        return
    assert 0 <= agreed.confidence <= 10_000
    assert agreed.low <= agreed.price <= agreed.high
    assert agreed.spread >= abs(mark - agreed.price), "no price is surer than it is near to the mark"
    if None in prices:
        assert agreed.confidence < 10_000


def test_agreement_of_known_prices() -> None:
    agreed_on = [Answer(str(price), price) for price in (100, 101, 99, 102, 5000)]
    agreed = agree(agreed_on, 102)
    assert agreed is not None
    assert (agreed.price, agreed.spread, agreed.low, agreed.high) == (101, 1, 99, 5000)
    assert agreed.confidence == 9902
    far = agree(agreed_on, 5000)
    assert far is not None
    assert (far.price, far.spread, far.confidence) == (101, 4899, 202)


class Rogue:
    vetted = False

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def price(self, mark: int, bars: object) -> int | None:
        if isinstance(self._answer, Exception):
            raise self._answer
        if callable(self._answer):
            return self._answer(0)  # type: ignore[no-any-return]
        return self._answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (1.5, "gave float, not int"),
        (True, "gave bool, not int"),
        (float("nan"), "gave float"),
        (0, "not within 1"),
        (limits.MAX_SCALED + 1, "not within 1"),
        (ValueError("secret"), "raised ValueError"),
        (asyncio.sleep, "gave a coroutine: price has to be a plain function"),
    ],
)
def test_a_model_that_misbehaves_is_left_out_and_named(answer: object, fault: str) -> None:
    found = ask("rogue", Rogue(answer), 1, ())
    assert found.price is None
    assert fault in found.fault
    assert "secret" not in found.fault


CUSTOM = """
class Halfway:
    def __init__(self, weight=2):
        self.weight = weight
    def price(self, mark, bars):
        if len(bars) > 3:
            while True:
                pass
        return (mark + bars[-1].close) // self.weight if bars else None
"""


def test_a_users_own_model_is_found_asked_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CUSTOM)
    wanted = Model(kind="custom", source=f"{tmp_path}/mine.py:Halfway", parameters={"weight": 4})
    models = compile_models({"mine": wanted})
    bar = Candle("S", 1, 10, 10, 10, 10, 1)
    assert ask("mine", models["mine"], 30, (bar,)) == Answer("mine", 10)
    assert ask("mine", models["mine"], 30, ()) == Answer("mine", None)
    assert "instructions" in ask("mine", models["mine"], 30, (bar,) * 4).fault


NO_MODELS = """
class Empty: pass
class Later:
    async def price(self, mark, bars): return 5
class Stream:
    async def price(self, mark, bars): yield 5
"""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nothing", "ringline.models"),
        ("{}/mine.py:Nobody", "has no class Nobody"),
        ("{}/mine.py:Empty", "has no method price"),
        ("{}/none.py:Halfway", "No such file"),
        ("{}/mine.py:Later", "its price is `async def`; it has to be a plain function"),
        ("{}/mine.py:Stream", "its price is `async def`; it has to be a plain function"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "mine.py").write_text(NO_MODELS)
    with pytest.raises(ValueError, match=r"valuation\.models\.mine: custom: ") as caught:
        compile_models({"mine": Model(kind="custom", source=source.format(tmp_path))})
    assert text in str(caught.value)


def test_the_default_models_differ() -> None:
    assert set(compile_models(Valuation().models)) == {"ewma", "last", "median", "typical", "vwap"}


def test_one_strike_in_many_questions_is_borne_and_three_are_not() -> None:
    strikes = Strikes()
    slow_us = 1000 * valuation_limits.MODEL_CALL_MS + 1
    most, within = valuation_limits.MAX_MODEL_STRIKES, valuation_limits.MODEL_STRIKES_CALLS
    for _ in range(3 * most):
        strikes.answered("rare", "", slow_us)
        for _ in range(within // (most - 1)):
            strikes.answered("rare", "raised ValueError", slow_us - 1)
    assert not strikes.left_out
    for number, fault in enumerate((OVERLONG, "", OVERLONG), 1):
        strikes.answered("often", fault, slow_us)
        assert ("often" in strikes.left_out) == (number == most)
    assert strikes.left_out["often"] == f"{OVERLONG}, 3 times: left out until a restart"
