"""The agent's logic as a whole configuration asks for it, with what it has to know of the exec."""

from __future__ import annotations

from pipeline.config import schema
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import partial_fills
from pipeline.trading.scopes import Scopes


def agent_logic(trading: schema.Trading, execs: schema.Exec, scopes: Scopes | None = None) -> AgentLogic:
    """The one maker of it, for whoever decides and whoever reads decisions must agree on its `code`.

    Raises ConfigError with every fault of the configuration.
    """
    return AgentLogic(trading, execs.fill_policy, partial_fills=partial_fills(execs), scopes=scopes)
