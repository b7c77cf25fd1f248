"""The report in every form, and two of them compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from load_facts import PROCESS, good_facts, step
from msgspec.structs import replace

from loadtests.__main__ import _run as loadtests
from loadtests.build import headline
from loadtests.compare import compare
from loadtests.gates import judge
from loadtests.render import html, junit, markdown, write
from loadtests.report import Figures, Point, Report, encode, read_report
from loadtests.settings import Gates
from pipeline.errors import MissingError, UsageError


def report_of(shape: str = "load", p95_ms: float = 20.0, **changes: Any) -> Report:
    facts = good_facts(shape, p95_ms=p95_ms, **changes)
    verdicts = judge(facts, Gates())
    return Report(
        ok=not any(verdict.verdict == "violated" for verdict in verdicts),
        exit_code=0,
        headline=headline(facts, verdicts),
        started="2026-01-31T09:00:00Z",
        run="0badcafe",
        target="http://127.0.0.1:8001",
        started_by_test=True,
        generators=1,
        machine={"system": "Linux", "cpu": "<fast & new>", "cpus": "2", "memory": "8 GB"},
        versions={"python": "3.11"},
        facts=facts,
        verdicts=verdicts,
        latencies=(Figures(name="intended", count=9, p50_ms=p95_ms / 4, p95_ms=p95_ms, p99_ms=2 * p95_ms),),
        points=tuple(
            Point(
                elapsed_s=at, users=100, planned=500, met=500, shed=0, errors=0,
                p50_ms=5.0, p95_ms=p95_ms, p99_ms=2 * p95_ms,
            )
            for at in range(60)
        ),
    )  # fmt: skip


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    report = report_of()
    write(report, tmp_path)
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == report
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
        "junit.xml",
    }


def test_pages_need_nothing_else_and_show_every_gate() -> None:
    report = report_of("stress", steps=(step(0), step(1, p95_ms=400.0)))
    for text in (markdown(report), html(report)):
        assert all(verdict.name in text for verdict in report.verdicts)
        assert "p95 400.0 ms" in text
    page = html(report)
    assert "&lt;fast &amp; new&gt;" in page
    assert "<svg" in page
    assert "<script" not in page
    assert "The knee" in page


def test_junit_has_a_case_a_gate_failed_when_violated_and_skipped_when_unknown() -> None:
    report = report_of(p95_ms=200.0, reads=0)
    suite = Xml.fromstring(junit(report))
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    skipped = [case.get("name") for case in suite if case.find("skipped") is not None]
    assert (failed, skipped) == (["p95"], ["reads"])
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    assert len(suite) == len(report.verdicts)


def test_a_report_beside_itself_is_not_worse() -> None:
    found = compare(report_of(), report_of())
    assert found.ok
    assert found.turned == ()


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"p95_ms": 25.0}, "intended p95"),
        ({"met": 700_000}, "answered as expected"),
        ({"drained_s": 3.0}, "drained after"),
        ({"processes": (replace(PROCESS, memory_peak_bytes=40_000_000),)}, "memory of agent-0"),
    ],
)
def test_what_is_worse_by_more_than_the_margin_is_named(worse: dict[str, Any], name: str) -> None:
    found = compare(report_of(), report_of(**worse))
    assert not found.ok
    assert name in [difference.name for difference in found.differences if difference.worse]
    assert compare(report_of(**worse), report_of(), 50.0).ok


def test_a_gate_that_was_met_and_is_violated_is_worse_within_any_margin() -> None:
    found = compare(report_of(p95_ms=99.0), report_of(p95_ms=101.0))
    assert (found.ok, found.turned) == (False, ("p95",))


def test_a_lost_knee_is_worse() -> None:
    good, bad = report_of("stress"), report_of("stress", steps=(step(0, shed=5),))
    assert "knee" in [difference.name for difference in compare(good, bad).differences if difference.worse]


def test_different_tests_are_not_compared() -> None:
    with pytest.raises(UsageError, match="different tests"):
        compare(report_of("load"), report_of("soak"))


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_report(tmp_path)
    file = tmp_path / "report.json"
    for text in (b"{}", b"\xff", encode(replace(report_of(), schema_version=99))):
        file.write_bytes(text)
        with pytest.raises(UsageError):
            read_report(file)


def test_the_command_compares_by_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, p95_ms in zip(files, (20.0, 60.0), strict=True):
        file.write_bytes(encode(report_of(p95_ms=p95_ms)))
    a, b = map(str, files)
    assert loadtests(["compare", a, a]) == 0
    assert loadtests(["compare", a, b]) == 1
    assert "B is worse than A." in capsys.readouterr().out
    assert loadtests(["compare", a, b, "--margin-percent", "500"]) == 0
    capsys.readouterr()
    assert loadtests(["compare", a, b, "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]
    assert loadtests(["compare", a, str(tmp_path / "none.json")]) == 3
    assert loadtests(["compare", a]) == 2
    assert "ringline: " in capsys.readouterr().err
