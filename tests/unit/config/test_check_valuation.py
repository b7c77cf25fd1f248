"""What would show books to strangers, or value them by nothing, is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.errors import ConfigError
from pipeline.supervisor.roster import endpoints, roster


@pytest.mark.parametrize(
    ("valuation", "text"),
    [
        ({"host": "0.0.0.0"}, "valuation.host = '0.0.0.0': beyond loopback it needs a token"),
        ({"read_token_env": ["A"] * 9}, "valuation: 9 read tokens; the limit is 8"),
        ({"allow_origins": ["desk"]}, "valuation.allow_origins[0] = 'desk'"),
        ({"model": "best"}, "valuation.model = 'best': is none of valuation.models (ewma, last,"),
        ({"models": {"last": {"kind": "custom"}}}, "valuation.models.last.source: missing"),
        ({"history_bars": 2}, "valuation.models.vwap.bars = 3: more than valuation.history_bars (2)"),
        ({"feed_url": "audit:8006"}, "valuation.feed_url = 'audit:8006': expected http(s)://HOST:PORT"),
        ({"nav_every_ms": 1}, "valuation.nav_every_ms"),
        ({"enabled": True, "port": 8006}, "port 8006"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(valuation: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"valuation": valuation})
    assert text in str(caught.value)


def test_without_a_feed_there_are_no_marks_to_take() -> None:
    tree: dict[str, Any] = {"valuation": {"enabled": True}, "feed": {"enabled": False}}
    with pytest.raises(ConfigError, match=r"feed\.enabled is false"):
        resolve(tree)
    tree["valuation"]["feed"] = False
    resolve(tree)


def test_it_runs_only_where_it_is_asked_for() -> None:
    assert "valuation" not in {worker.name for worker in roster(resolve({}))}
    config = resolve({"valuation": {"enabled": True}})
    assert "valuation" in {worker.name for worker in roster(config)}
    assert endpoints(config)["valuation"] == "http://127.0.0.1:8007"
