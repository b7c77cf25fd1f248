"""The agent's logic as a whole configuration asks for it, to decide or only to read decisions."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.config import schema
from pipeline.messages import Candle
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import partial_fills
from pipeline.trading.scopes import Scopes
from pipeline.trading.strategies import KINDS


def agent_logic(trading: schema.Trading, execs: schema.Exec, scopes: Scopes | None = None) -> AgentLogic:
    """The one maker of it, for whoever decides and whoever reads decisions must agree on its `code`.

    Raises ConfigError with every fault of the configuration.
    """
    return AgentLogic(trading, execs.fill_policy, partial_fills=partial_fills(execs), scopes=scopes)


def reading_logic(trading: schema.Trading, execs: schema.Exec) -> AgentLogic:
    """For whoever only adds up what was decided: of a user's strategies nothing is loaded or run, and nothing
    of their memories is known.

    Raises ConfigError with every fault of the configuration.
    """
    kinds = {**KINDS, "custom": lambda _: Unloaded()}
    return AgentLogic(trading, execs.fill_policy, kinds, partial_fills=partial_fills(execs))


class NoMemory(Struct, frozen=True, array_like=True):
    """Of a strategy that is not run."""


class Unloaded:
    """Stands for a user's strategy where decisions are read."""

    tag = "unloaded"
    memory = NoMemory
    vetted = True

    def origin(self) -> NoMemory:
        return NoMemory()

    def step(self, memory: Any, candle: Candle) -> tuple[Any, int | None]:  # noqa: ARG002
        return memory, None
