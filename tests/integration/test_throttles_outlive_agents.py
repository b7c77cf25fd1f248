"""What throttles count is kept through the death of agents, and what a flatten closes counts as left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_pipeline import Client, Running, make_config, wait_for
from servers import Redis, running_redis

from pipeline.config import Config
from pipeline.messages import Decision, decode_decision
from pipeline.storage.audit import AuditRow
from pipeline.storage.audit.engines import open_reader
from pipeline.trading.reasons import code_of


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis(durable=True) as server:
        yield server


def configured(folder: Path, throttle: dict[str, Any], **agent: Any) -> Config:
    return make_config(
        folder,
        agent=agent,
        exec={"fill_policy": "signal_price"},
        trading={"strategies": {}, "throttles": [throttle]},
    )


class Desk:
    """Posts events one after the other and waits for their rows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = Client(config)
        self._count = 0

    def _rows(self, name: str) -> list[AuditRow]:
        with contextlib.closing(open_reader(self._config)) as audit:
            return [row for row in audit.rows(limit=1000) if row.delivery.webhook_id.startswith(name)]

    def tell(self, event: dict[str, str], keys: int = 1) -> list[Decision]:
        self._count += 1
        name = f"event-{self._count:03}"
        self._client.post_until_taken(name, event)
        wait_for(lambda: len(self._rows(name)) == keys, f"the rows of {name}")
        return [decode_decision(row.delivery.decision) for row in self._rows(name)]

    def buy(self, strategy: str, symbol: str) -> list[str]:
        """The codes that refuse it."""
        event = {
            "type": "signal", "symbol": symbol, "strategy": strategy,
            "side": "buy", "quantity": "1", "price": "10",
        }  # fmt: skip
        (decision,) = self.tell(event)
        return [code_of(reason) for leg in decision.legs for reason in leg.reasons]

    def control(self, action: str, keys: int) -> int:
        """How many exits it orders."""
        event = {"type": "control", "action": action, "reason": ""}
        return sum(len(decision.legs) for decision in self.tell(event, keys))

    def close(self) -> None:
        self._client.close()


def test_a_symbols_count_outlives_every_agent_that_kept_it(tmp_path: Path) -> None:
    throttle = {"name": "key", "per": "symbol", "max_trades": 2, "window_seconds": 3600}
    config = configured(tmp_path, throttle, workers=2)
    with Running(config) as running, contextlib.closing(Desk(config)) as desk:
        assert desk.buy("a", "K") == []
        assert desk.buy("b", "K") == []
        assert desk.buy("c", "L") == []
        assert desk.buy("c", "K") == ["THROTTLE_WINDOW"]
        for agent in ("agent-0", "agent-1"):
            running.kill(agent)
        assert desk.buy("c", "K") == ["THROTTLE_WINDOW"]
        assert desk.buy("a", "L") == []
        assert desk.buy("a", "L") == ["THROTTLE_WINDOW"]


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize("per", ["symbol", "global"])
def test_a_flatten_starts_the_cooldown_of_every_throttle(
    tmp_path: Path, redis: Redis, store: str, per: str
) -> None:
    url = tmp_path / "scopes.url"
    url.write_text(redis.url)
    agents = {"workers": 2, "scopes": "redis", "scopes_url_file": str(url)} if store == "redis" else {}
    config = configured(tmp_path, {"name": "all", "per": per, "cooldown_seconds": 3600}, **agents)
    with Running(config) as running, contextlib.closing(Desk(config)) as desk:
        assert desk.buy("a", "K") == []
        assert desk.buy("a", "L") == []
        assert desk.control("flatten", keys=2) == 2
        assert desk.control("resume", keys=2) == 0
        if store == "redis":
            for agent in ("agent-0", "agent-1"):
                running.kill(agent)
        assert desk.buy("b", "K") == ["THROTTLE_COOLDOWN"]
        elsewhere = ["THROTTLE_COOLDOWN"] if per == "global" else []
        assert desk.buy("b", "M") == elsewhere
