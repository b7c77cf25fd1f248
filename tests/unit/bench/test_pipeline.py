from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pipeline.bench.disk import MOST_SYNCS, fdatasync_p95_ms
from pipeline.bench.pipeline import BenchOptions, Figures, one_worker_a_stage, results
from pipeline.bench.render import print_bench
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.figures import Bench, at_least, at_most, encode_bench, exactly, shown
from pipeline.machine import machine, versions
from pipeline.replay.audit_view import Verified
from pipeline.replay.spec import Result, Times
from pipeline.snapshot import Latency


def client_result(total: int) -> Result:
    return Result(
        accepted={"A": total}, unconfirmed=0, repeated=0, retries={}, elapsed_s=10.0, cpu_s=0.5,
        first_sent_ns=1, last_accepted_ns=2, times=Times(count=total, p95_ms=2.0),
    )  # fmt: skip


def figures(**changes: object) -> Figures:
    base = Figures(
        fdatasync_p95_ms=2.0,
        ceiling_per_s=30_000.0,
        end_to_end=Latency(event="END_TO_END", window_s=10, count=5000, p50_ns=4_000_000, p95_ns=18_000_000),
        open_result=client_result(5000),
        closed_result=client_result(25_000),
        closed_s=10.0,
        rows=30_000,
        memory_bytes=200 << 20,
        verified=Verified(True, "", "ab"),
    )
    return msgspec.structs.replace(base, **changes)


def missed(found: Figures) -> list[str]:
    return [result.name for result in results(found, BenchOptions()) if result.met is False]


def test_a_good_run_meets_every_target() -> None:
    assert missed(figures()) == []


def test_the_wanted_latency_follows_the_disk() -> None:
    by_name = {result.name: result for result in results(figures(), BenchOptions())}
    p95 = by_name["accept to settled at 500/s, p95"]
    assert (p95.target, p95.value, p95.ratio) == (18.0, 18.0, 9.0)
    assert missed(figures(fdatasync_p95_ms=1.9)) == ["accept to settled at 500/s, p95"]


def test_memory_is_given_in_millions_of_bytes() -> None:
    by_name = {result.name: result for result in results(figures(memory_bytes=300_000_000), BenchOptions())}
    memory = by_name["memory of all processes, PSS"]
    assert (memory.value, memory.target, memory.unit, memory.met) == (300.0, 300.0, "MB", True)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"closed_s": 20.0}, "accepted and audited"),
        ({"memory_bytes": 300_000_001}, "memory of all processes, PSS"),
        ({"rows": 29_999}, "audited"),
        ({"rows": 30_001}, "audited"),
        ({"verified": Verified(False, "row 1", "")}, "chain verified"),
        ({"end_to_end": None}, "accept to settled at 500/s, p95"),
    ],
)
def test_what_is_not_reached_is_said(change: dict[str, object], name: str) -> None:
    assert missed(figures(**change)) == [name]


def test_the_json_has_the_one_shape_of_every_bench() -> None:
    bench = Bench(machine=machine(), versions=versions(), results=results(figures(), BenchOptions()))
    found = msgspec.json.decode(encode_bench(bench))
    assert set(found) == {"machine", "versions", "results"}
    for result in found["results"]:
        assert set(result) == {"name", "value", "unit", "against", "ratio", "target", "met"}


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    bench = Bench(machine=machine(), versions={}, results=(shown("a", 1.0, "", "b"),))
    assert bench.met
    assert bench.results[0].met is None


def test_targets_are_judged_on_the_unrounded_value() -> None:
    assert at_most("a", 1.00001, "", 1.0, "b", 1.0).met is False
    assert at_least("a", None, "", 1.0, "b", 1.0).met is False
    assert exactly("a", 1.0, "", 1.0, "b").met is True


def test_people_see_what_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(machine=machine(), versions={}, results=results(figures(closed_s=20.0), BenchOptions()))
    print_bench(bench, Console(width=160))
    row = next(text for text in capsys.readouterr().out.splitlines() if "accepted and audited" in text)
    assert "NO" in row
    assert "1,250" in row


def test_the_disks_own_time_is_taken(tmp_path: Path) -> None:
    ticks = itertools.count(0, 1_000_000)
    assert fdatasync_p95_ms(tmp_path, lambda: next(ticks)) == 1.0
    assert list(tmp_path.iterdir()) == []
    assert next(ticks) < (2 * MOST_SYNCS + 3) * 1_000_000


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="fdatasync in"):
        fdatasync_p95_ms(tmp_path / "none")


def test_the_bench_runs_one_worker_a_stage(tmp_path: Path) -> None:
    config = Config()
    many = msgspec.structs.replace(config, agent=msgspec.structs.replace(config.agent, workers=3))
    found = one_worker_a_stage(many, tmp_path)
    assert (found.agent.workers, found.exec.workers, found.audit.workers) == (1, 1, 1)
    assert found.data_dir == str(tmp_path)
