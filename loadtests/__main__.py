"""`python -m loadtests`: what `ringline loadtest` runs, with its errors as lines and its exit codes."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import click
import msgspec

from loadtests.compare import MARGIN_PERCENT, compare
from loadtests.compare import table as comparison_table
from loadtests.report import Report, encode, read_report
from loadtests.run import LoadTest
from loadtests.task import read_task
from pipeline.errors import EXIT_NO, EXIT_OK, RinglineError
from pipeline.process import StopFlag


@click.group()
def main() -> None:
    """What `ringline loadtest` starts; see `ringline loadtest --help`."""


@main.command("run")
@click.argument("task_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@click.option("--markdown", "as_markdown", is_flag=True)
def run(task_file: Path, as_json: bool, as_markdown: bool) -> int:
    """Run the test that a task file describes.

    \b
    Example:
      python -m loadtests run loadtest-1/task.json
    """
    stop = StopFlag()
    stop.listen()
    task = read_task(task_file)
    try:
        report = LoadTest(task, stop, lambda line: click.echo(line, err=True)).run()
    except RinglineError:
        raise
    except Exception as error:  # a bug of ours: one line, and the traceback in a file
        crash = Path(task.folder) / "crash.txt"
        crash.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        raise RinglineError(
            f"unexpected {type(error).__name__}: {error}; the traceback is in {crash}"
        ) from None
    if as_json:
        sys.stdout.write(encode(report).decode())
    elif as_markdown:
        from loadtests.render import markdown

        click.echo(markdown(report))
        _gates(report)
    else:
        _show(report, task_file.parent)
    return report.exit_code


@main.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--margin-percent", type=click.FloatRange(0, 1000), default=MARGIN_PERCENT)
@click.option("--json", "as_json", is_flag=True)
def compare_command(a: Path, b: Path, margin_percent: float, as_json: bool) -> int:
    """Compare report B with A.

    \b
    Example:
      python -m loadtests compare before/report.json after/report.json
    """
    found = compare(read_report(a), read_report(b), margin_percent)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        _print([comparison_table(found)])
        click.echo("Nothing is worse." if found.ok else "B is worse than A.")
    return EXIT_OK if found.ok else EXIT_NO


def _show(report: Report, folder: Path) -> None:
    from loadtests.drawn import tables

    _print(tables(report)[1:])
    _gates(report)
    click.echo(f"Report: {folder / 'report.html'} (.md, .json; junit.xml)")


def _gates(report: Report) -> None:
    """What every gate answers, and all of them together."""
    for verdict in report.verdicts:
        mark = {"met": "ok ", "violated": "NO ", "unknown": " ? "}[verdict.verdict]
        click.echo(f"{mark} {verdict.name}: {verdict.sentence}")
    click.echo(f"\n{report.headline}")


def _print(found: list) -> None:  # type: ignore[type-arg]
    from rich.console import Console

    from pipeline.plotting.text import rich_table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    for table in found:
        console.print(rich_table(table))


def _run(arguments: list[str]) -> int:
    try:
        code = main.main(arguments, prog_name="loadtests", standalone_mode=False)
    except RinglineError as error:
        for line in str(error).splitlines():
            click.echo(f"ringline: {line}", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"ringline: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("ringline: interrupted", err=True)
        return EXIT_NO
    return code if isinstance(code, int) else EXIT_OK


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
