from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.app import run
from pipeline.errors import MissingError, UsageError
from pipeline.plan.capacity import STAGES, Capacity, StageCapacity, read_capacity
from pipeline.plan.phases import PHASES, Assumptions, Phase
from pipeline.plan.planner import plan
from pipeline.plan.queueing import fullest, mean_wait_s, wait_quantile_s
from pipeline.plan.report import make_report, tables, texts
from pipeline.plan.simulate import _through, simulate

ASSUMED = Assumptions()
CAPACITY = Capacity(
    source="made up",
    events=1000,
    stages={name: StageCapacity(cpu_us=200.0, memory_bytes=30_000_000) for name in STAGES},
    journal_bytes=200.0,
    audit_bytes=1000.0,
    journal_commit_ms=2.0,
    audit_commit_ms=2.0,
)


def phase(peak_per_s: float, regions: int = 1) -> Phase:
    hour = peak_per_s * 3600
    return Phase(name="p", events_a_day=hour * 10, peak_hour=hour, regions=regions)


def test_kingmans_formula_is_exact_for_poisson_and_exponential_service() -> None:
    """M/M/1: W = ρ / (1 − ρ) · s, and P(wait > t) = ρ · exp(−(1 − ρ) t / s)."""
    assert mean_wait_s(0.8, 0.01, 1, 1) == pytest.approx(0.04)
    assert wait_quantile_s(0.95, 0.8, 0.01, 1, 1) == pytest.approx(0.05 * math.log(16))
    assert wait_quantile_s(0.95, 0.04, 0.01, 1, 1) == 0.0
    assert mean_wait_s(1.0, 0.01, 1, 1) == math.inf


@pytest.mark.parametrize("rho", [0.5, 0.7, 0.9])
def test_the_simulations_queue_waits_as_the_theory_says(rho: float) -> None:
    dice = np.random.default_rng(5)
    count = 300_000
    arrived = np.cumsum(dice.exponential(1.0, count))
    service = dice.exponential(rho, count)
    left = _through(arrived, np.zeros(count, dtype=np.int64), service, 1)
    assert float(np.mean(left - arrived - service)) == pytest.approx(mean_wait_s(rho, rho, 1, 1), rel=0.1)


def test_workers_that_share_no_queue_do_not_help_each_other() -> None:
    arrived, homes = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 0, 1])
    left = _through(arrived, homes, np.full(4, 2.0), 2)
    assert left.tolist() == [2.0, 4.0, 6.0, 3.0]


@given(workers=st.integers(1, 500), keys=st.integers(1, 10**6))
def test_more_keys_are_spread_more_evenly(workers: int, keys: int) -> None:
    assert 1 <= fullest(workers, keys * 10) <= fullest(workers, keys)


@given(low=st.floats(1, 1e5), factor=st.floats(1, 20))
def test_a_higher_load_never_takes_less(low: float, factor: float) -> None:
    less, more = plan(phase(low), CAPACITY, ASSUMED), plan(phase(low * factor), CAPACITY, ASSUMED)
    assert all(a.workers <= b.workers for a, b in zip(less.stages, more.stages, strict=True))
    assert all(stage.busy <= ASSUMED.use + 1e-9 for stage in more.stages)
    assert all(stage.p95_ms <= stage.wanted_p95_ms for stage in more.stages)


@pytest.mark.parametrize("load", PHASES, ids=lambda one: one.name)
def test_the_plans_keep_their_latency_in_the_simulation(load: Phase) -> None:
    made = plan(load, CAPACITY, ASSUMED)
    assert simulate(made, CAPACITY, ASSUMED).met


def test_a_plan_with_too_few_workers_is_found_out() -> None:
    made = plan(PHASES[1], CAPACITY, ASSUMED)
    stages = tuple(
        msgspec.structs.replace(one, workers=one.workers // 2 if one.stage == "exec" else one.workers)
        for one in made.stages
    )
    found = simulate(msgspec.structs.replace(made, stages=stages), CAPACITY, ASSUMED)
    assert not found.met
    assert found.stages["exec"] > 15


def test_one_of_several_regions_may_be_down() -> None:
    assert phase(900, regions=4).region_per_s == pytest.approx(300)
    assert phase(900).region_per_s == 900


def test_a_day_is_stored_whole_and_what_this_version_lacks_is_said() -> None:
    report = make_report(CAPACITY, ASSUMED, PHASES)
    today, wanted = report.phases[0].plan, report.phases[1].plan
    assert (wanted.journal_bytes_a_day, wanted.audit_bytes_a_day) == (100e9, 500e9)
    assert [stage.needs for stage in today.stages] == [""] * 4
    assert {stage.stage for stage in wanted.stages if stage.needs} == {"gateway", "audit"}
    assert any("several, each the home of its keys" in line for line in texts(report))
    assert [table.title for table in tables(report)][1:4] == [one.name for one in PHASES]


def test_a_disk_that_is_too_slow_is_no_reason_for_workers_and_fails_the_plan() -> None:
    slow = msgspec.structs.replace(CAPACITY, audit_commit_ms=15.0)
    report = make_report(slow, ASSUMED, [phase(100)])
    assert report.phases[0].plan.stages[3].workers == 1
    assert not report.ok


LOADTEST: dict[str, Any] = {
    "schema": "ringline.loadtest",
    "facts": {
        "audited": {"rows": 10_000},
        "ending": {"ran_s": 20.0},
        "processes": [
            {"name": name, "cpu_mean_percent": 10.0, "memory_peak_bytes": 1_000_000}
            for name in ("gateway-0", "agent-0", "exec-0", "exec-1", "audit-0", "collector")
        ],
    },
    "stages": [{"event": "JOURNAL_WRITE", "p50_ms": 3.0}],
    "audit_bytes_an_event": 900.0,
}


def test_a_load_tests_report_tells_what_an_event_costs(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(LOADTEST))
    found = read_capacity(tmp_path)
    assert found.stages["gateway"].cpu_us == pytest.approx(200)
    assert found.stages["exec"].cpu_us == pytest.approx(400), "of both workers"
    assert (found.beside_bytes, found.journal_commit_ms) == (1_000_000, 3.0)
    assert (found.journal_bytes, found.audit_bytes) == (None, 900.0)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "ringline.plan"}', '{"schema": "ringline.loadtest"}'])
def test_a_file_without_figures_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"figures\.json"):
        read_capacity(file)
    with pytest.raises(MissingError, match="No such file"):
        read_capacity(tmp_path / "none.json")


def test_a_plan_can_be_made_again_from_its_own_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "capacity.json"
    file.write_bytes(msgspec.json.encode(CAPACITY))
    words = ["plan", "--figures", str(file), "--events-a-day", "500", "--peak-hour", "50", "--regions", "3"]
    assert run([*words, "--json"]) == 0
    said = capsys.readouterr().out
    again = tmp_path / "plan.json"
    again.write_text(said)
    assert run(["plan", "--figures", str(again), *words[3:], "--json"]) == 0
    assert capsys.readouterr().out == said
    assert run(["plan", "--figures", str(again)]) == 0
    assert "Beyond this version" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--measure", "--figures", "x"],
        ["--regions", "2"],
        ["--peak-hour", "5"],
        ["--events-a-day", "100", "--peak-hour", "1"],
        ["--events-a-day", "100", "--peak-hour", "200"],
    ],
)
def test_words_that_do_not_fit_are_refused(words: list[str]) -> None:
    assert run(["plan", *words]) == 2
