"""A user's call that takes too many instructions ends, whatever it does against that."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import limits
from pipeline.trading.counting import Monitored, OverlongError, counted, traced

WAYS = [traced] if sys.version_info < (3, 12) else [Monitored()]


def endless() -> None:
    while True:
        pass


def ignoring() -> None:
    while True:
        try:  # noqa: SIM105 - as people write it
            int("x")
        except BaseException:
            pass


def ignoring_by_a_block() -> None:
    while True:
        with contextlib.suppress(BaseException):
            int("x")


def going_on() -> None:
    while True:
        try:
            for _ in range(10):
                pass
        except BaseException:
            continue


def called_by_c() -> None:
    sorted(range(10**6), key=lambda number: -number)


def in_a_comprehension() -> int:
    return sum(number for number in iter(int, 1))


def returning_after_all() -> str:
    try:
        while True:
            pass
    except OverlongError:
        return "as if nothing had been"


class Nested:
    def __call__(self) -> None:
        while True:
            try:
                ignoring()
            except BaseException:
                continue


CALLS = [
    endless,
    ignoring,
    ignoring_by_a_block,
    going_on,
    called_by_c,
    in_a_comprehension,
    returning_after_all,
    Nested(),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", CALLS)
def test_it_ends(
    way: Callable[..., Any], call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_STRATEGY_INSTRUCTIONS", 5_000)
    before = sys.gettrace()
    for _ in range(3):
        with pytest.raises(OverlongError):
            way(call)
        assert sys.gettrace() is before
        assert sum(number for number in range(1000)) == 499_500, "and nothing comes after"


@pytest.mark.parametrize("way", WAYS)
def test_the_first_call_of_some_code_is_counted_as_every_other(way: Callable[..., Any]) -> None:
    made: dict[str, Any] = {}
    exec("def fresh():\n    while True: pass", made)
    with pytest.raises(OverlongError):
        way(made["fresh"])


def test_what_comes_to_an_end_is_answered() -> None:
    assert counted(lambda first, second: first + second, 2, 3) == 5
    with pytest.raises(KeyError):
        counted({}.__getitem__, "x")
