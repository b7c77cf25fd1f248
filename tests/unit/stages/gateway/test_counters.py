"""The Prometheus text."""

from __future__ import annotations

from pipeline.stages.gateway.counters import Counters, exposition, families, gauge


def test_counters_are_written_with_their_labels() -> None:
    counters = Counters()
    counters.requests[202] += 3
    counters.requests[401] += 1
    counters.signatures["demo", "new.whsec"] += 3
    counters.accepted = 2
    counters.duplicates = 1
    lines = exposition(families(counters)).decode().splitlines()
    assert 'ringline_gateway_requests_total{status="202"} 3' in lines
    assert 'ringline_gateway_requests_total{status="401"} 1' in lines
    assert 'ringline_gateway_signatures_total{source="demo",secret="new.whsec"} 3' in lines
    assert "ringline_gateway_accepted_total 2" in lines
    assert "ringline_gateway_duplicates_total 1" in lines
    assert "# TYPE ringline_gateway_accepted_total counter" in lines


def test_label_values_are_escaped_and_large_numbers_kept() -> None:
    family = ("x", "gauge", "help", [({"file": 'a"b\\c\nd'}, 2**50)])
    assert exposition([family]).decode().splitlines()[2] == 'x{file="a\\"b\\\\c\\nd"} 1125899906842624'
    assert b"ringline_gateway_depth 5\n" in exposition([gauge("depth", "help", 5)])
    assert b"ringline_gateway_ready 1\n" in exposition([gauge("ready", "help", True)])
