from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from pipeline.plotting.tables import milliseconds
from pipeline.replay.plots import plots
from pipeline.replay.render_html import render_html
from pipeline.replay.render_markdown import render_markdown
from pipeline.replay.render_text import print_report
from pipeline.replay.report import Report, decode_report, encode_report
from pipeline.replay.tables import headline, tables


class Balance(HTMLParser):
    """Fails on a tag that is closed out of turn, and collects what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(report: Report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_report(report, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_report_survives_its_json(report: Report) -> None:
    assert decode_report(encode_report(report)) == report


def test_the_json_has_the_names_that_were_asked_for(report: Report) -> None:
    found = msgspec.json.decode(encode_report(report))
    wanted = "accepted audited duplicates outcomes denials orders fills pnl golden_path throughput_per_s"
    assert {*wanted.split(), "chain_verified", "digest", "schema", "memory"} <= set(found)


def test_every_cell_is_in_every_form(report: Report) -> None:
    text, markdown, html = text_of(report), render_markdown(report), render_html(report)
    for table in tables(report):
        for row in table.rows:
            for cell in row:
                assert cell in text
                assert cell in markdown
                assert cell.replace("<", "&lt;").replace(">", "&gt;") in html
    for form in (text, markdown, html):
        assert report.digest in form


def test_the_terminals_tables_fit_into_eighty_columns(report: Report) -> None:
    assert "…" not in text_of(report, width=80)
    assert max(map(len, text_of(report, width=80).splitlines())) <= 80


def test_a_passed_run_says_so_in_one_sentence(report: Report) -> None:
    assert headline(report).startswith("All 2 accepted events are audited exactly once")


def test_a_failed_run_says_why(report: Report) -> None:
    failed = msgspec.structs.replace(
        report, ok=False, faults=("1 accepted event has no audit row",), chain_verified=False,
        chain_detail="row 7: its hash does not follow",
    )  # fmt: skip
    for form in (text_of(failed), render_markdown(failed), render_html(failed)):
        assert "1 accepted event has no audit row" in form
        assert "row 7: its hash does not follow" in form


def test_the_page_is_well_formed_and_needs_nothing_else(report: Report) -> None:
    page = render_html(report)
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.addresses == []
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert len(page) < 300_000


def test_what_a_machine_calls_itself_is_no_markup(report: Report) -> None:
    assert "some <CPU>" not in render_html(report)
    assert "some &lt;CPU&gt;" in render_html(report)


def test_a_pipe_in_a_cell_does_not_break_a_markdown_table(report: Report) -> None:
    odd = msgspec.structs.replace(report, denials={"A|B": 1})
    assert "A\\|B" in render_markdown(odd)


def test_equity_latencies_throughput_and_lag_are_drawn(report: Report) -> None:
    found = dict(plots(report))
    assert len(found) == 4
    for title, drawing in found.items():
        ElementTree.fromstring(re.match(r"<svg.*</svg>", drawing).group())  # type: ignore[union-attr]
        assert "nan" not in drawing, title


def test_nothing_is_drawn_of_a_run_that_did_not_start(report: Report) -> None:
    empty = msgspec.structs.replace(
        report, equity=(), golden_path=(), moments=(), memory=(), pnl=(), client=None
    )
    assert plots(empty) == []
    assert render_html(empty)
    assert "Golden path" not in text_of(empty)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (0.0, "0.000")],
)
def test_milliseconds_have_three_digits_that_matter(value: float | None, text: str) -> None:
    assert milliseconds(value) == text
