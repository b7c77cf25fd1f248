"""The operator's own figures."""

from __future__ import annotations

import re

from pipeline_operator.kube.meter import ApiMeter
from pipeline_operator.runtime.gauge import Gauges, Histogram

LINE = re.compile(r"# (HELP|TYPE) \S+ .+|[a-z_]+(\{[^}]*\})? \S+")


def test_buckets_are_cumulative_and_end_in_all() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value)
    assert list(histogram.lines("x")) == [
        'x_bucket{le="0.1"} 2',
        'x_bucket{le="1.0"} 3',
        'x_bucket{le="+Inf"} 4',
        "x_sum 3.65",
        "x_count 4",
    ]


def test_every_line_of_the_page_is_prometheus_text() -> None:
    meter = ApiMeter()
    meter.answered("patch", 200)
    gauges = Gauges(meter)
    gauges.errors["tick"] += 1
    gauges.writes["raise"] += 1
    gauges.replicas["trading", "p"] = {"agent": (1, 3)}
    gauges.signals["trading", "p"] = (1500, 2)
    gauges.leases = {("trading", "ringline-operator-rl"): True}
    gauges.refused["trading", "p", "ScaleForbidden"] += 2
    page = gauges.page()
    assert all(LINE.fullmatch(line) for line in page.splitlines())
    assert 'ringline_operator_replicas_wanted{namespace="trading",pipeline="p",stage="agent"} 3' in page
    assert 'ringline_operator_signal_age_seconds{namespace="trading",pipeline="p"} 1.5' in page
    assert 'ringline_operator_api_calls_total{verb="patch",code="200"} 1' in page
    assert 'ringline_operator_lease_held{namespace="trading",lease="ringline-operator-rl"} 1' in page
    refused = 'scale_refused_total{namespace="trading",pipeline="p",reason="ScaleForbidden"} 2'
    assert f"ringline_operator_{refused}" in page
    gauges.forget(("trading", "p"))
    assert 'pipeline="p"' not in gauges.page()
