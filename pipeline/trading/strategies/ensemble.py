"""An ensemble: several strategies vote with weights, and one position follows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from types import GenericAlias
from typing import Any

import msgspec

from pipeline.messages import Candle
from pipeline.trading.strategies.protocol import FULL, Strategy, StrategyFaultError, advance

Member = tuple[str, Strategy, Fraction]
"""Name, strategy and weight (> 0)."""


class Ensemble:
    """Wants the weighted mean of what its members want, in parts of `FULL`, rounded towards flat.

    A member's last wish stands until its next one; before its first it counts as flat. The ensemble speaks
    whenever a member does. A member that fails makes the ensemble fail on that candle: no member's memory
    moves, so they never get out of step.
    """

    __slots__ = ("_members", "_whole", "memory", "tag", "vetted")

    def __init__(self, members: Sequence[Member]) -> None:
        if not members:
            raise ValueError("ensemble: members: at least one")
        if any(weight <= 0 for _, _, weight in members):
            raise ValueError("ensemble: members: every weight must be positive")
        per = lcm(*(weight.denominator for _, _, weight in members))
        ordered = sorted(members, key=lambda member: member[0])
        self._members = tuple((strategy, int(weight * per)) for _, strategy, weight in ordered)
        self._whole = sum(weight for _, weight in self._members)
        self.memory = _memory_of([strategy for strategy, _ in self._members])
        self.vetted = all(strategy.vetted for strategy, _ in self._members)
        votes = ",".join(f"{weight}*{strategy.tag}" for strategy, weight in self._members)
        self.tag = f"ensemble({votes})"

    def origin(self) -> Any:
        return self.memory(
            tuple(strategy.origin() for strategy, _ in self._members), (0,) * len(self._members)
        )

    def step(self, memory: Any, candle: Candle) -> tuple[Any, int | None]:
        memories, wishes, spoken = [], list(memory.wishes), False
        for index, ((strategy, _), before) in enumerate(zip(self._members, memory.memories, strict=True)):
            after, intent, fault = advance(strategy, before, candle)
            if fault:
                raise StrategyFaultError(fault)
            memories.append(after)
            if intent is not None:
                wishes[index] = intent
                spoken = True
        return self.memory(tuple(memories), tuple(wishes)), self._mean(wishes) if spoken else None

    def _mean(self, wishes: Sequence[int]) -> int:
        total = sum(wish * weight for wish, (_, weight) in zip(wishes, self._members, strict=True))
        size = min(abs(total) // self._whole, FULL)
        return size if total > 0 else -size


def _memory_of(strategies: Sequence[Strategy]) -> type[Any]:
    """A memory's type: the members' own, each under its place, and their last wishes."""
    kinds: Any = GenericAlias(tuple, tuple(strategy.memory for strategy in strategies))
    return msgspec.defstruct(
        "EnsembleMemory",
        [("memories", kinds), ("wishes", tuple[int, ...])],
        frozen=True,
        array_like=True,
        gc=False,
    )
