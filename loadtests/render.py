"""A report as Markdown, as one HTML file, as JUnit XML, and as its folder."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from loadtests.drawn import about, footer, plots, tables
from loadtests.report import Report, encode
from pipeline.plotting.page import page
from pipeline.plotting.tables import Table


def write(report: Report, folder: Path) -> None:
    """report.json, .md, .html and junit.xml."""
    (folder / "report.json").write_bytes(encode(report))
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (folder / "report.html").write_text(html(report), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit(report))


def html(report: Report) -> str:
    return page(
        f"Load test {report.facts.shape.name}",
        report.headline,
        about(report),
        tables(report),
        plots(report),
        footer(report),
        good=report.ok,
    )


def markdown(report: Report) -> str:
    parts = [f"# Load test {report.facts.shape.name}", f"**{report.headline}**", about(report)]
    parts += [_table(table) for table in tables(report)]
    return "\n\n".join([*parts, footer(report)]) + "\n"


def _table(table: Table) -> str:
    marks = [":--" if index < table.words else "--:" for index in range(len(table.columns))]
    lines = [f"## {table.title}", "", _row(table.columns), _row(marks), *map(_row, table.rows)]
    return "\n".join([*lines, "", table.note] if table.note else lines)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def junit(report: Report) -> bytes:
    """A test case a gate: failed when violated, skipped when it cannot be told."""
    name = f"ringline.loadtest.{report.facts.shape.name}"
    violated = sum(verdict.verdict == "violated" for verdict in report.verdicts)
    unknown = sum(verdict.verdict == "unknown" for verdict in report.verdicts)
    suite = Xml.Element(
        "testsuite",
        name=name,
        tests=str(len(report.verdicts)),
        failures=str(violated),
        skipped=str(unknown),
        errors="0",
        time=f"{report.facts.ending.ran_s:.3f}",
        timestamp=report.started,
    )
    for verdict in report.verdicts:
        case = Xml.SubElement(suite, "testcase", classname=name, name=verdict.name)
        if verdict.verdict == "violated":
            Xml.SubElement(case, "failure", message=verdict.sentence)
        elif verdict.verdict == "unknown":
            Xml.SubElement(case, "skipped", message=verdict.sentence)
        else:
            Xml.SubElement(case, "system-out").text = verdict.sentence
    return bytes(Xml.tostring(suite, encoding="utf-8", xml_declaration=True))
