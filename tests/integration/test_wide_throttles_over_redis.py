"""One count for two agents, kept by a real Redis server that is stopped and started while they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_pipeline import Client, Running, make_config, wait_for
from servers import Redis, running_redis

from pipeline import limits
from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.messages import Verdict, decode_decision
from pipeline.storage.audit.engines import open_reader

MOST = 7
UNKNOWN = "THROTTLE_UNKNOWN: throttle=all"


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis(durable=True) as server:
        yield server


def shared_config(folder: Path, redis: Redis) -> Config:
    url = folder / "scopes.url"
    url.write_text(redis.url)
    return make_config(
        folder,
        agent={"workers": 2, "scopes": "redis", "scopes_url_file": str(url)},
        exec={"fill_policy": "signal_price"},
        trading={
            "strategies": {},
            "throttles": [{"name": "all", "per": "global", "max_trades": MOST, "window_seconds": 3600}],
        },
    )


def post(config: Config, name: str, count: int) -> None:
    client = Client(config)
    for number in range(count):
        signal = {"type": "signal", "symbol": f"S{number}", "side": "buy", "quantity": "1", "price": "10"}
        client.post_until_taken(f"{name}-{number}", signal)
    client.close()


def rows(config: Config, name: str) -> list[Delivery]:
    with contextlib.closing(open_reader(config)) as audit:
        found = [row.delivery for row in audit.rows(limit=1000)]
    return [row for row in found if row.webhook_id.startswith(name)]


def audited(config: Config, name: str, count: int) -> list[tuple[bool, tuple[str, ...]]]:
    """(entered, inputs) of each row of `name`, once there are `count`."""
    wait_for(lambda: len(rows(config, name)) >= count, f"{count} rows of {name}")
    decisions = [decode_decision(row.decision) for row in rows(config, name)]
    return [(one.legs[0].verdict == Verdict.ORDERED, one.inputs) for one in decisions]


def test_two_agents_enter_no_more_than_one_count_allows_and_nothing_while_it_is_away(
    tmp_path: Path, redis: Redis
) -> None:
    config = shared_config(tmp_path, redis)
    with Running(config) as running:
        post(config, "first", 4)
        first = audited(config, "first", 4)
        assert [entered for entered, _ in first] == [True] * 4
        assert all(len(inputs) == 1 for _, inputs in first), "the answer is part of the row"

        redis.stop()
        post(config, "away", 4)
        away = audited(config, "away", 4)
        assert not any(entered for entered, _ in away)
        assert all(UNKNOWN in inputs[0] for _, inputs in away)

        redis.start()
        attempt = 0

        def entered_again() -> bool:
            nonlocal attempt
            attempt += 1
            post(config, f"probe{attempt}", 1)
            return audited(config, f"probe{attempt}", 1)[0][0]

        pause_s = limits.SCOPES_PAUSE_MS / 1000
        wait_for(entered_again, "an agent to ask again", within_s=30 * pause_s)
        running.kill("agent-0")
        running.kill("agent-1")
        post(config, "later", 12)
        later = audited(config, "later", 12)
        assert sum(entered for entered, _ in later) == MOST - 5
        with contextlib.closing(open_reader(config)) as audit:
            assert audit.verify().ok
