"""Rules between keys: every message, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import Config, resolve
from pipeline.config.check import cross_check
from pipeline.errors import ConfigError

MIB = 2**20


def test_the_defaults_are_fine() -> None:
    assert cross_check(Config()) == []


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        (
            {"links": {"depth": 65}},
            "links.depth = 65: at most a quarter of links.credit (64), so that one key never fills a link",
        ),
        (
            {"links": {"heartbeat_ms": 1000}},
            (
                "links.dead_after_ms = 2000: at least 3 × links.heartbeat_ms (3000), or one late "
                "heartbeat kills a link"
            ),
        ),
        (
            {"journal": {"max_bytes": 63 * MIB}},
            (
                f"journal.max_bytes = {63 * MIB}: at least 4 × journal.segment_bytes ({64 * MIB}), or "
                "compaction has no room"
            ),
        ),
        (
            {"journal": {"retention_s": 600}},
            (
                "journal.retention_s = 600: must exceed 2 × sources.demo.tolerance_s (600), or a captured "
                "request can be replayed after it is forgotten"
            ),
        ),
        (
            {"audit": {"workers": 2}},
            "audit.workers = 2: SQLite allows one writer, and one writer keeps the chain; allowed: 1",
        ),
        (
            {"space": {"warn_bytes": 10, "floor_bytes": 11}},
            (
                "space.floor_bytes = 11: at most space.warn_bytes (10), so that the warning comes before the "
                "refusal"
            ),
        ),
        (
            {"agent": {"port": 65_530, "workers": 2}},
            "agent.port = 65530: worker 1 would listen on 65540; the limit is 65535",
        ),
        (
            {"exec": {"port": 9464}},
            "exec.port = 9464: port 9464 of worker 0 is taken by telemetry.port",
        ),
        (
            {"agent": {"port": 8000, "workers": 3}, "exec": {"port": 8020}},
            "exec.port = 8020: port 8020 of worker 0 is taken by agent.port",
        ),
        (
            {"telemetry": {"ring_entries": 1000}},
            "telemetry.ring_entries = 1000: must be a power of two, such as 512",
        ),
        (
            {"trading": {"instruments": {"AAPL": {}}}},
            "trading.instruments.default: missing; it serves every symbol not named",
        ),
        (
            {"trading": {"instruments": {"default": {"price_scale": 2, "tick": "0.005"}}}},
            (
                "trading.instruments.default.tick = '0.005': must be a positive multiple of 10^-2, the "
                "scale of this instrument"
            ),
        ),
        (
            {"trading": {"instruments": {"default": {"lot": "0"}}}},
            (
                "trading.instruments.default.lot = '0': must be a positive multiple of 10^-4, the "
                "scale of this instrument"
            ),
        ),
        (
            {"trading": {"strategies": {"s": {"kind": "breakout", "quantity": "0"}}}},
            "trading.strategies.s.quantity = '0': must be positive",
        ),
        (
            {"trading": {"strategies": {"s": {"kind": "sma_cross", "fast": 30}}}},
            "trading.strategies.s.fast = 30: must be below slow (30)",
        ),
        (
            {"trading": {"throttles": [{"name": "t", "multiplier": "1.5"}]}},
            "trading.throttles[0].multiplier = '1.5': allowed: 0 to 1",
        ),
        (
            {"trading": {"throttles": [{"name": "t"}, {"name": "u", "max_notional": "-1"}]}},
            "trading.throttles[1].max_notional = '-1': must not be negative",
        ),
        (
            {"trading": {"throttles": [{"name": "t"}, {"name": "t"}]}},
            "trading.throttles[1].name = 't': taken by another; a throttle's memory goes by its name",
        ),
        (
            {"trading": {"max_signal_quantity": "0"}},
            "trading.max_signal_quantity = '0': must be positive",
        ),
        (
            {"trading": {"signal_quantity": "-1"}},
            "trading.signal_quantity = '-1': must be positive",
        ),
        (
            {"trading": {"instruments": {"default": {"lot": "0.5"}}, "signal_quantity": "0.7"}},
            "trading.signal_quantity = '0.7': must be a multiple of the lot 0.5 of instrument default",
        ),
        (
            {"trading": {"signal_quantity": "100000000001"}},
            "trading.signal_quantity = '100000000001': at most 100000000000, the limit of instrument default",
        ),
        ({"exec": {"slippage_bps": "-1"}}, "exec.slippage_bps = '-1': allowed: 0 to 10000"),
        ({"exec": {"commission_bps": "10001"}}, "exec.commission_bps = '10001': allowed: 0 to 10000"),
        (
            {"trading": {"strategies": {f"s{n}": {"kind": "breakout"} for n in range(101)}}},
            "trading.strategies: 101; the limit is 64",
        ),
        ({"sources": {}}, "sources: at least one is needed, or nothing can be posted"),
        (
            {"sources": {"s": {"secret_files": ["f"] * 5, "secret_env": ["E"] * 4}}},
            "sources.s: 9 secrets; the limit is 8",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tree: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    assert caught.value.faults == [fault]


def test_all_of_them_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"links": {"depth": 65, "heartbeat_ms": 1000}, "audit": {"workers": 2}, "sources": {}})
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize(
    ("tree", "single", "crossed"),
    [
        ({"gateway": {"port": 0}, "audit": {"workers": 2}}, ["gateway.port"], ["audit.workers"]),
        (
            {"links": {"credit": 1, "depth": 65, "heartbeat_ms": 1000}},
            ["links.credit"],
            ["links.dead_after_ms"],
        ),
        ({"gateway": {"host": 5, "port": 8002}}, ["gateway.host"], []),
        ({"gateway": 5, "agent": {"port": 8001}}, ["gateway:"], []),
        ({"sources": {"a b": {}}}, ["sources.a"], []),
        (
            {"sources": {"s": {"tolerance_s": 0, "secret_env": ["E"] * 9}}},
            ["sources.s.tolerance_s"],
            ["sources.s:"],
        ),
        (
            {"sources": {"s": {"secret_files": [1], "secret_env": ["E"] * 9}}},
            ["sources.s.secret_files[0]"],
            [],
        ),
        (
            {"trading": {"strategies": {"x": {}, "e": {"kind": "ensemble", "members": {"x": "0"}}}}},
            ["trading.strategies.x.kind:"],
            ["trading.strategies.e.members.x"],
        ),
        (
            {"trading": {"strategies": {"s": {"kind": "sma_cross", "fast": 40, "slow": 1, "quantity": "0"}}}},
            ["trading.strategies.s.slow"],
            ["trading.strategies.s.quantity"],
        ),
        (
            {
                "trading": {
                    "instruments": {"default": {"lot": "x", "tick": "0"}},
                    "signal_quantity": "0.00001",
                }
            },
            ["trading.instruments.default.lot"],
            ["trading.instruments.default.tick"],
        ),
        (
            {"trading": {"throttles": [5, {}, {"name": "t", "multiplier": "2"}, {"max_notional": "-1"}]}},
            ["trading.throttles[0]:", "trading.throttles[1].name:", "trading.throttles[3].name:"],
            ["trading.throttles[2].multiplier", "trading.throttles[3].max_notional"],
        ),
        (
            {
                "trading": {"throttles": [{"name": "t", "per": "global", "multiplier": 2}]},
                "agent": {"workers": 0},
            },
            ["trading.throttles[0].multiplier", "agent.workers"],
            [],
        ),
    ],
)
def test_beside_a_key_at_fault_all_else_is_still_checked(
    tree: dict[str, Any], single: list[str], crossed: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    assert [fault.split(" ")[0] for fault in caught.value.faults] == [*single, *crossed]


def test_workers_of_different_addresses_may_share_a_port() -> None:
    config = resolve({"agent": {"host": "127.0.0.2", "port": 8004}, "exec": {"host": "127.0.0.3"}})
    assert config.agent.port == config.exec.port
