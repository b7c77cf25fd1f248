"""What the pipeline would refuse when it starts, the chart refuses before anything is made, by its words."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from rendered_chart import WHY_NOT, refused, rendered

from pipeline import limits
from pipeline.config import check, check_access, check_links, check_sources, check_valuation, resolve
from pipeline.errors import ConfigError

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

CHECKS = (check, check_access, check_links, check_sources, check_valuation)
HMAC = {"profile": "hmac"}
MANY = [f"/f{index}" for index in range(limits.MAX_SECRETS_A_SOURCE + 1)]


def _strategy(**keys: Any) -> dict[str, Any]:
    return {"trading": {"strategies": {"s": keys}}}


def _throttles(*throttles: dict[str, Any]) -> dict[str, Any]:
    return {"trading": {"throttles": list(throttles)}}


def _source(**keys: Any) -> dict[str, Any]:
    return {"sources": {"desk": keys}}


def _instrument(**keys: Any) -> dict[str, Any]:
    return {"trading": {"instruments": {"default": keys}}}


REFUSED: list[dict[str, Any]] = [
    {"links": {"credit": 32, "depth": 9}},
    {"links": {"heartbeat_ms": 700}},
    {"journal": {"max_bytes": 2**20}},
    {"journal": {"segment_bytes": 2**30}},
    {"journal": {"retention_s": 600}},
    {**_source(tolerance_s=3600)},
    {"space": {"floor_bytes": 2**31}},
    {"space": {"warn_bytes": 0}},
    {"gateway": {"tls_cert_file": "/tls/tls.crt"}},
    {"feed": {"allow_origins": ["https://desk.example", "desk.example"]}},
    {"valuation": {"allow_origins": ["https://desk.example/page"]}},
    {"feed": {"read_token_env": MANY}},
    {"valuation": {"control_token_env": MANY}},
    {"valuation": {"model": "none"}},
    {"valuation": {"models": {}}},
    {"valuation": {"models": {"last": {"kind": "custom"}}}},
    {"valuation": {"models": {"last": {"kind": "vwap", "bars": 65}}}},
    {"valuation": {"history_bars": 2}},
    {"valuation": {"feed_url": "audit:8006"}},
    {"trading": {"instruments": {"AAPL": {}}}},
    _instrument(tick="0"),
    _instrument(tick="0.00001"),
    _instrument(tick="-0.01"),
    _instrument(lot="0.5", quantity_scale=0),
    _instrument(lot="99999999999999999999"),
    _instrument(lot="1000000000000.0001"),
    {"trading": {"strategies": {f"s{index}": {"kind": "breakout"} for index in range(65)}}},
    _strategy(kind="ensemble"),
    _strategy(kind="ensemble", members={"other": "1"}),
    _strategy(kind="ensemble", members={"s": "1"}),
    {
        "trading": {
            "strategies": {"a": {"kind": "breakout"}, "s": {"kind": "ensemble", "members": {"a": "0.0"}}}
        }
    },
    _strategy(kind="custom"),
    _strategy(kind="mean_reversion", deviations="0"),
    _strategy(kind="mean_reversion", deviations="100.01"),
    _strategy(kind="mean_reversion", lookback=1),
    _strategy(kind="volatility_target", target_bps="10000.5"),
    _strategy(kind="volatility_target", target_bps="-1"),
    _strategy(kind="volatility_target", rebalance_percent="101"),
    _strategy(kind="volatility_target", lookback=1),
    _strategy(kind="sma_cross", fast=30),
    _strategy(kind="breakout", quantity="0"),
    _strategy(kind="breakout", quantity="0.00005"),
    _strategy(kind="breakout", quantity="100000000000.0001"),
    _strategy(kind="breakout", quantity="99999999999999999999999999"),
    {
        "trading": {
            "instruments": {"default": {}, "BTC": {"lot": "3"}},
            "strategies": {"s": {"kind": "breakout", "quantity": "10", "symbols": ["BTC"]}},
        }
    },
    {"trading": {"signal_quantity": "-1"}},
    {"trading": {"max_signal_quantity": "0.000"}},
    {"trading": {"risk": {"max_order": "-0.1"}}},
    {"trading": {"risk": {"price_collar_percent": "-5"}}},
    {"exec": {"commission_bps": "10000.0001"}},
    {"exec": {"slippage_bps": "-1"}},
    {"exec": {"volume_limit_percent": "100.5"}},
    {"exec": {"volume_limit_percent": "5", "fill_policy": "signal_price"}},
    _throttles({"name": "a"}, {"name": "a"}),
    _throttles({"name": "a", "multiplier": "1.5"}),
    _throttles({"name": "a", "max_notional": "-1"}),
    _throttles({"name": "a", "overrides": [{"scope": {}, "multiplier": "-0.5"}]}),
    _throttles({"name": "a", "overrides": [{"scope": {}, "max_notional": "-2"}]}),
    _throttles({"name": "a", "per": "symbol", "overrides": [{"scope": {"strategy_id": "s"}}]}),
    _throttles({"name": "a", "per": "strategy", "overrides": [{"scope": {"symbol": "AAPL"}}]}),
    _throttles(*({"name": f"t{index}", "per": "global"} for index in range(limits.MAX_CLAIMS + 1))),
    _source(secret_files=MANY),
    _source(accepts=[]),
    _source(idempotency_key="required"),
    _source(allow_from=["10.0.0.0/8", "10.0.0.1/8"]),
    _source(allow_from=["10.0.0.256"]),
    _source(trusted_proxies=["2001:db8::1/32"]),
    _source(trusted_proxies=["2001:db8::1::2"]),
    _source(allow_from=["10.0.0.0/33"]),
    _source(allow_from=["desk.example"]),
    _source(allow_from=[f"10.0.{index}.0/24" for index in range(256)] + ["11.0.0.0/8"]),
    _source(**HMAC, hmac={"id_header": ""}),
    _source(**HMAC, hmac={"id_header": "x-signature"}),
    _source(**HMAC, hmac={"prefix": "é"}),
    _source(**HMAC, hmac={"signed": "{x}{body}"}),
    _source(**HMAC, hmac={"signed": "{body}."}),
    _source(**HMAC, hmac={"signed": "{timestamp}.{body}"}),
    _source(profile="tradingview", tradingview={"token_env": MANY}),
]
"""Configurations, each with at least one fault between keys."""
TAKEN: list[dict[str, Any]] = [
    _source(allow_from=["10.0.0.0/8", "192.0.2.7", "::1", "2001:db8::/32", "::/0", "2001:db8:0:0:8000::/65"]),
    _source(**HMAC, hmac={"signed": "v1:{timestamp}:{body}", "timestamp_header": "x-time"}),
    _instrument(lot="2.5", quantity_scale=1),
    {"space": {"floor_bytes": 0, "warn_bytes": 0}},
    _strategy(kind="mean_reversion", deviations="100.00", quantity="0.0001", symbols=["AAPL"]),
    _strategy(kind="breakout", quantity="100000000000"),
    {"exec": {"commission_bps": "10000", "slippage_bps": "0.5", "volume_limit_percent": "100"}},
    _throttles({"name": "a", "multiplier": "1.0"}, {"name": "b", "multiplier": "0"}),
    {"links": {"credit": 64, "depth": 16, "heartbeat_ms": 250, "dead_after_ms": 750}},
]
NOT_BY_VALUES = {
    "wide and config.agent.workers > 1": "_checks.tpl says it of agent.workers",
    "wide and several": "the chart sets agent.max_replicas to 1 then",
    "audit.engine == 'sqlite' and audit.members": "the chart sets audit.max_replicas to 1 then",
    "stage.members == 'dns'": "the schema's 64 × 16 are as many as there may be",
    "stage.members == 'listed'": "the chart sets members",
    "config.audit.workers > 1": "_checks.tpl says it of audit.workers",
    "port > 65535": "the chart sets ports",
    "(other := taken.get((host, port)))": "the chart sets ports",
    "entries != below": "the schema has the powers of two",
    "len(sla) > limits.MAX_SLA_EVENTS": "the schema has it",
    "len(wanted) > limits.MAX_SLA_PERCENTILES": "the schema has it",
    "served and (not is_loopback": "the chart sets hosts and tokens",
    "valuation.enabled and valuation.feed": "_checks.tpl says it of valuation.enabled",
    "not config.sources": "without sources the chart has one",
    "source is None": "_checks.tpl refuses feed.control_source",
    "source.profile != 'standard'": "the chart makes the page's source",
    "'control' not in source.accepts": "the chart makes the page's source",
    "any(tokens.values())": "the chart sets tokens",
    "links.key_file and links.key_env": "said in other words, of linkKeys",
    "links.curve == 'on'": "said in other words, of linkKeys",
    "links.curve == 'auto'": "said in other words, of linkKeys",
}
"""Faults that no values can bring to the pipeline's pods, by how their condition begins, and why."""


def _configuration(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the chart would render, did it check nothing."""
    tree = copy.deepcopy(rendered().configuration())
    for section, keys in changes.items():
        if section == "sources":
            tree["sources"] = copy.deepcopy(keys)
            for source in tree["sources"].values():
                source.setdefault("secret_files", ["/etc/ringline/webhooks/desk.whsec"])
        else:
            tree[section] = {**tree.get(section, {}), **keys}
    return tree


def _faults(changes: Mapping[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        resolve(_configuration(changes))
    return list(raised.value.faults)


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_the_chart_says_what_the_pipeline_would(changes: dict[str, Any]) -> None:
    said = refused({f"config.{section}": keys for section, keys in changes.items()})
    for fault in _faults(changes):
        if fault.startswith("agent.max_replicas"):  # which the chart sets by its throttles
            continue
        beginning, _, reason = fault.partition(": expected an address or a network such as 10.0.0.0/8")
        assert f"config.{beginning if reason else fault}" in said


@pytest.mark.parametrize("changes", TAKEN, ids=str)
def test_what_the_pipeline_takes_is_rendered(changes: dict[str, Any]) -> None:
    resolve(_configuration(changes))
    values = {f"config.{section}": keys for section, keys in changes.items()}
    resolve(rendered(values).configuration())


def test_every_fault_that_the_pipeline_knows_is_tried_or_cannot_be() -> None:
    tried: set[tuple[str, int]] = set()
    files = {str(Path(module.__file__ or "")) for module in CHECKS}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            tried.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    configurations = [_configuration(changes) for changes in REFUSED]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for tree in configurations:
            try:
                resolve(tree)
            except ConfigError:
                continue
    finally:
        sys.settrace(before)
    left = [
        condition
        for file in files
        for condition, line in _said(Path(file))
        if (file, line) not in tried and not condition.startswith(tuple(NOT_BY_VALUES))
    ]
    assert left == []


def _said(file: Path) -> Iterator[tuple[str, int]]:
    """(condition, line) of every fault that a file of checks can say."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        for body, test in _branches(node):
            for one in body:
                if isinstance(one, ast.Expr) and isinstance(one.value, ast.Yield):
                    yield test, one.lineno


def _branches(node: ast.AST) -> Iterator[tuple[list[ast.stmt], str]]:
    if isinstance(node, ast.If):
        yield node.body, ast.unparse(node.test)
        if not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)):
            yield node.orelse, f"not ({ast.unparse(node.test)})"
    elif isinstance(node, ast.ExceptHandler):
        yield node.body, "except"
