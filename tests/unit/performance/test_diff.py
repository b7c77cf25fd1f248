from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import MissingError, UsageError
from pipeline.performance import Submission, collect_performance_baseline
from pipeline.performance.baseline_file import decode_baseline, encode_baseline, read_baseline, write_baseline
from pipeline.performance.diff import diff, sentence
from pipeline.performance.fake import ScriptedManager
from pipeline.performance.false_alarms import false_alarms, upper_bound


def baseline(factor: float = 1, machine: float = 1, **changes: Any) -> dict[str, Any]:
    """A stored document whose rounds cost `factor` times the same, on a machine so many times slower."""
    rounds = [
        {
            "calls": 20,
            "p50_ms": machine * factor,
            "p95_ms": machine * factor * (1 + number / 100),
            "max_ms": 9.0,
            "reference_ms": machine,
        }
        for number in range(12)
    ]
    latency = {"measures": "m", "reference": "r", "rounds": rounds} | changes.pop("latency", {})
    return {
        "kind": "baseline",
        "schema": 1,
        "execution": {"manager": "inprocess"},
        "performance": {"healthy": True, "latency": latency},
    } | changes


def compared(a: dict[str, Any], b: dict[str, Any]) -> Any:
    left, right = (decode_baseline(json.dumps(item).encode(), "x") for item in (a, b))
    return diff(left, right)


def test_slower_code_fails_and_slower_machines_do_not() -> None:
    assert compared(baseline(), baseline(factor=1.5)).verdict == "worse"
    same = compared(baseline(), baseline(machine=3))
    assert (same.ok, same.verdict, same.machine_factor) == (True, "same", 3)
    assert same.comparison.ratio == pytest.approx(1)
    hidden = compared(baseline(machine=2), baseline(factor=1.5))
    assert (hidden.ok, hidden.b_p95_ms < hidden.a_p95_ms) == (False, True)
    assert compared(baseline(), baseline(factor=0.5)).verdict == "better"


def test_the_verdict_is_a_sentence() -> None:
    text = sentence(compared(baseline(), baseline(factor=1.5)))
    assert "ratio 1.500" in text
    assert text.endswith("WORSE by more than 20 % beyond noise")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (baseline(execution={"manager": "live"}), "different managers"),
        (baseline(latency={"measures": "n"}), "different measurements"),
        (baseline(latency={"reference": "s"}), "different reference loops"),
        (baseline(latency={"rounds": []}), "B has 0 rounds and a comparison needs 7"),
    ],
)
def test_what_does_not_compare_is_refused_with_the_reason(other: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        compared(baseline(), other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("{}", "is no baseline"),
        ("[1", "is no baseline"),
        (json.dumps(baseline(schema=2)), "has schema 2; this version reads 1"),
        (json.dumps(baseline()).replace("9.0", "NaN", 1), "is no baseline"),
        (json.dumps(baseline()).replace('"reference_ms": 1', '"reference_ms": 0'), "is no baseline"),
        (json.dumps(baseline()).replace('"p95_ms": 1.0', '"p95_ms": -1.0'), "is no baseline"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_by_name(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"b\.json: {why}"):
        read_baseline(file)


def test_a_missing_file_is_something_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot be read: No such file"):
        read_baseline(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match="cannot be written"):
        write_baseline(tmp_path / "file" / "b.json", {})


def test_what_is_collected_reads_back(tmp_path: Path) -> None:
    manager = ScriptedManager(
        [Submission(processing_ms=1, lag_ms=0, ordered=True)], call=lambda: sum(range(500))
    )
    found = collect_performance_baseline(manager, trades=1, rounds=7, calls=20)
    write_baseline(tmp_path / "new" / "b.json", found)
    assert (tmp_path / "new" / "b.json").read_bytes() == encode_baseline(found)
    read = read_baseline(tmp_path / "new" / "b.json")
    assert diff(read, read).ok
    write_baseline(tmp_path / "b.md", found)
    assert (tmp_path / "b.md").read_text().startswith("# Performance baseline\n\n**Healthy.**")


def test_false_alarms_are_counted_over_all_pairs_and_over_disjoint_ones() -> None:
    calm = [1 + number / 1000 for number in range(10)]
    found = false_alarms([calm, calm, calm, [2 * cost for cost in calm]])
    assert (found.pairs, found.alarms) == (12, 3)
    assert (found.disjoint_pairs, found.disjoint_alarms) == (2, 1)
    assert found.widest_ratio == pytest.approx(2)
    quiet = false_alarms([calm] * 4)
    assert (quiet.alarms, quiet.caught) == (0, {"1.3": 1.0, "1.5": 1.0, "2": 1.0})
    with pytest.raises(UsageError, match="1 baselines make no pair"):
        false_alarms([calm])


def test_the_bound_on_a_rate_is_that_of_the_tables() -> None:
    assert upper_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_bound(1, 20) == pytest.approx(0.2161, abs=1e-4)
    assert upper_bound(3, 3) == 1
