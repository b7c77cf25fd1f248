"""What a decision costs, in the product's one shape."""

from __future__ import annotations

import json

import msgspec
from click.testing import CliRunner

from pipeline.figures import Bench
from pipeline_operator.bench.policy import bench_answers, bench_spec
from pipeline_operator.cli.app import group
from pipeline_operator.merge import merge


def test_it_prints_the_shape_of_every_bench() -> None:
    output = CliRunner().invoke(group, ["bench", "--rounds", "1", "--json"], standalone_mode=False).output
    rows = {row.name for row in msgspec.convert(json.loads(output), Bench).results}
    assert {"decision alone, 10 stages of 20 pods", "reading of one snapshot as it comes"} <= rows
    for told in ("none new", "half of them new", "all new"):
        assert f"tick: merge of 200 snapshots, {told}, and decision" in rows


def test_its_pods_all_speak_and_are_believed() -> None:
    spec = bench_spec()
    signals = merge(spec.stages, {}, bench_answers(), stale_after_ms=3000, now_us=1_700_000_000_000_000)
    assert all(its.sources.ignored == () for its in signals.values())
    assert signals["stage-3"].lag_ms == 1500
    assert signals["stage-3"].window(1000).handled == 1800
