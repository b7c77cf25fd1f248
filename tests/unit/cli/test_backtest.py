from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.cli.app import run

HEAD = "time,open,high,low,close,volume\n"


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    lines = [HEAD]
    for minute in range(300):
        price = 100 + (minute * 7919) % 23
        lines.append(f"{1_704_067_200 + 60 * minute},{price},{price + 2},{price - 2},{price + 1},5\n")
    file = tmp_path / "BTC.csv"
    file.write_text("".join(lines))
    return file


def test_a_run_prints_its_result_and_writes_its_page(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert run(["backtest", str(candles), "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    for word in ("net profit and loss", "Sharpe", "exposure", "THROTTLE_", "throttles", "Run digest"):
        assert word in shown
    assert "<svg" in page.read_text()


def test_json_is_one_document_and_both_paths_leave_one_digest(
    candles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for words in ([], ["--live-path"]):
        assert run(["backtest", str(candles), "--json", *words]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["schema"] == 2
    assert found[0]["digest"] == found[1]["digest"]
    assert (found[0]["path"], found[1]["path"]) == ("fast", "live")


def test_a_sweep_prints_a_line_for_each_combination(
    candles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--sweep", "strategies.sma.fast=5,10", "--jobs", "1"]
    assert run(["backtest", str(candles), *words]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(["backtest", str(candles), *words, "--json"]) == 0
    assert [one["values"] for one in json.loads(capsys.readouterr().out)["runs"]] == [
        {"trading.strategies.sma.fast": "5"},
        {"trading.strategies.sma.fast": "10"},
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "DATA: give a file of candles, or --history"),
        (["x.csv", "--history"], 2, "DATA: give a file of candles, or --history"),
        (["none.csv"], 3, "none.csv: No such file or directory"),
        (["none.csv", "--sweep", "fast"], 2, "--sweep 'fast': expected KEY=VALUE"),
        (["none.csv", "--capital", "0"], 2, "--capital"),
        (["none.csv", "--capital", "nan"], 2, "--capital nan: must be a finite number"),
        (["none.csv", "--symbol", "a b"], 2, "symbol: 'a b' is none: 1 to 32 letters"),
        (["--history", "--symbol", "X"], 2, "--symbol: the history has its own symbols"),
        (["--history", "--date-order", "mdy"], 2, "--date-order: the history has its own dates"),
        (["x.csv", "--date-order", "ymd"], 2, "'ymd' is not one of 'mdy', 'dmy'"),
        (
            ["--history", "--sweep", "strategies.sma.fazt=1", "--jobs", "1"],
            2,
            "strategies.sma.fazt: no such key",
        ),
    ],
)
def test_wrong_words_are_told_in_a_line(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["backtest", *words]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_dates_of_which_the_file_does_not_tell_take_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.csv"
    file.write_text("date,open,high,low,close\n01/02/2024,1,1,1,1\n01/03/2024,1,1,1,1\n")
    assert run(["backtest", str(file), "--json"]) == 2
    assert "--date-order mdy or --date-order dmy" in capsys.readouterr().err
    assert run(["backtest", str(file), "--json", "--date-order", "dmy"]) == 0
    assert "dates are day first: asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["backtest", "--candles"], limits.MAX_BENCH_CANDLES),
        (["throttle", "--decisions"], limits.MAX_BENCH_DECISIONS),
        (["gateway", "--requests"], limits.MAX_BENCH_REQUESTS),
        (["audit", "--rows"], limits.MAX_BENCH_REQUESTS),
    ],
)
def test_an_absurd_count_of_a_bench_is_refused_with_the_limit(
    words: list[str], limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *words, str(limit + 1)]) == 2
    assert f"{limit + 1} is not in the range" in (said := capsys.readouterr().err)
    assert f"<={limit} (see `ringline bench {words[0]} --help`)" in said
