"""`LiveManager` and `ringline baseline --url` against real processes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_pipeline import Running, make_config, wait_for

from pipeline.cli.app import run
from pipeline.config import Config
from pipeline.errors import MissingError, RinglineError, UsageError
from pipeline.messages import Verdict, decode_decision
from pipeline.performance import collect_performance_baseline
from pipeline.performance.manager import Trade
from pipeline.replay.manager import ACCEPTED, NO_AUDIT, LiveManager
from pipeline.storage.audit import AuditReader

ROOMY: dict[str, Any] = {"max_lag_ms": 60_000, "max_processing_ms": 60_000}
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    throttle = {"name": "t", "max_trades": 1, "window_seconds": 3600, "max_notional": "1000"}
    config = make_config(
        tmp_path_factory.mktemp("live"),
        trading={"throttles": [throttle]},
        exec={"volume_limit_percent": "50"},  # decisions depend on it, so that a reader must know it too
    )
    with Running(config):
        yield config


def test_a_running_pipeline_satisfies_the_manager_protocol(config: Config) -> None:
    with LiveManager(config) as manager:
        found = collect_performance_baseline(manager, trades=40, rate=100, **ROOMY)
    execution = found["execution"]
    assert (execution["manager"], execution["orders_submitted"], execution["orders_denied"]) == (
        "live",
        1,
        39,
    )
    throttle = execution["trade_throttle"]
    assert throttle["state"] == "rate_limited"
    assert throttle["message"] == "Throttled: too many trades in short time (limit 1 trade per 1 hour)"
    assert throttle["metadata"]["remaining_trades"] == 0
    own = next(item for item in found["throttle_scopes"] if item["scope"]["strategy_id"] == "baseline")
    assert own["retry_at"] == throttle["metadata"]["retry_at"]
    assert own["throttle_remaining_notional"] == "900"
    assert len(found["performance"]["latency"]["rounds"]) == 2
    assert found["performance"]["resources"]["memory_mb"] > 1
    assert found["performance"]["healthy"] is True


def test_the_position_of_the_trades_is_closed_at_the_end(config: Config) -> None:
    with LiveManager(config, Trade(symbol="CLOSED")) as manager:
        collect_performance_baseline(manager, trades=2, **ROOMY)
    orders: list[int] = []

    def closed() -> bool:
        with contextlib.closing(AuditReader.open(Path(config.data_dir) / "audit.sqlite")) as reader:
            rows = reader.rows(key="CLOSED")
        legs = [leg for row in rows for leg in decode_decision(row.delivery.decision).legs]
        orders[:] = [leg.side * leg.quantity for leg in legs if leg.verdict == Verdict.ORDERED]
        return len(rows) == 3

    wait_for(closed, "the row of the closing signal")
    assert orders == [10_000, -10_000]


@pytest.mark.parametrize("part", ["gateway", "telemetry"])
def test_the_command_finds_out_what_listens_at_the_url(
    config: Config, part: str, tmp_path: Path, capfd: Output
) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    url = f"http://127.0.0.1:{getattr(config, part).port}"
    words = ["baseline", "--config", str(file), "--url", url, "--json", "--max-lag-ms", "60000"]
    assert run(words) == 0
    assert json.loads(capfd.readouterr().out)["execution"]["manager"] == "live"
    assert run([*words, "--url", url]) == 2
    assert "is one already" in capfd.readouterr().err


def test_without_the_audit_decisions_are_unknown_and_it_is_said(config: Config, tmp_path: Path) -> None:
    elsewhere = msgspec.structs.replace(config, data_dir=str(tmp_path))
    with LiveManager(elsewhere) as manager:
        assert manager.measures == ACCEPTED
        found = collect_performance_baseline(manager, trades=2, **ROOMY)
    assert found["execution"]["orders_submitted"] is None
    assert found["execution"]["trade_throttle"]["message"] == NO_AUDIT
    assert found["throttle_scopes"] == []


def test_another_configuration_than_the_pipeline_s_is_refused(config: Config) -> None:
    other = msgspec.structs.replace(config, trading=msgspec.structs.replace(config.trading, throttles=()))
    with LiveManager(other) as manager, pytest.raises(UsageError, match="give the one it runs with"):
        collect_performance_baseline(manager, trades=1, **ROOMY)


def test_what_is_no_collector_is_named(config: Config) -> None:
    gateway = f"http://127.0.0.1:{config.gateway.port}"
    with pytest.raises(MissingError, match="no collector answers there"):
        LiveManager(config, collector_url=gateway)
    collector = f"http://127.0.0.1:{config.telemetry.port}"
    manager = LiveManager(config, gateway_url=collector)
    with pytest.raises(RinglineError, match="answered 40"):
        manager.submit(0)
    manager.close()
