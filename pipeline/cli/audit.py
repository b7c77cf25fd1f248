"""`ringline audit`: verify and query."""

from __future__ import annotations

import sys

import click

from pipeline import limits
from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json, print_json_line, print_table
from pipeline.cli.session import json_option, with_config
from pipeline.cli.story import Story, story_of
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK
from pipeline.messages import Outcome
from pipeline.trading.instruments import Instruments, microseconds


@click.group("audit")
def command() -> None:
    """Verify and query the audit.

    Both read only, and work while the pipeline runs.

    \b
    Example:
      ringline audit verify
      ringline audit query --outcome rejected --newest
    """


@command.command()
@json_option
@with_config
def verify(config: Config, as_json: bool) -> int:
    """Verify every row: chain, order within its key, digests.

    Exit code 1 when a row is not as it was written, 3 when there is no audit.

    \b
    Example:
      ringline audit verify --json
    """
    show = None if as_json or not sys.stderr.isatty() else _progress
    with open_audit(config) as reader:
        report = reader.verify(show)
        head = reader.head()
        digest = reader.run_digest() if report.ok else ""
        outcomes = reader.outcomes() if report.ok else {}
    if as_json:
        found = {"ok": report.ok, "rows": report.rows, "first_bad": report.first_bad, "detail": report.detail}
        print_json({**found, "chain_hash": head.h.hex(), "digest": digest, "outcomes": outcomes})
    elif report.ok:
        rows = f"All {report.rows} rows are as they were"
        click.echo(f"{'The only row is as it was' if report.rows == 1 else rows} written.")
        click.echo(f"Chain hash  {head.h.hex()}\nRun digest  {digest}")
        click.echo("Outcomes    " + ", ".join(f"{name} {count}" for name, count in outcomes.items()))
    else:
        click.echo(f"The audit does not verify: {report.detail} ({_good(report.rows)}).", err=True)
    return EXIT_OK if report.ok else EXIT_NO


def _good(rows: int) -> str:
    return "the row before it is good" if rows == 1 else f"{rows} rows before it are good"


@command.command()
@click.option("--key", metavar="SYMBOL", help="Rows of one symbol.")
@click.option(
    "--outcome", type=click.Choice([str(outcome) for outcome in Outcome]), help="Rows that ended so."
)
@click.option("--since", metavar="RFC3339", help="Rows accepted then or later, such as 2026-01-31T09:00:00Z.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Rows after this row number: page on.")
@click.option(
    "--limit",
    type=click.IntRange(1, limits.MAX_QUERY_ROWS),
    default=20,
    show_default=True,
    help="At most so many rows.",
)
@click.option("--newest", is_flag=True, help="The newest first.")
@json_option
@with_config
def query(
    config: Config,
    key: str | None,
    outcome: str | None,
    since: str | None,
    after: int,
    limit: int,
    newest: bool,
    as_json: bool,
) -> None:
    """Show rows of the audit; with --json one document a line, with everything that is recorded.

    \b
    Example:
      ringline audit query --key AAPL --since 2026-01-31T09:00:00Z
      ringline audit query --outcome filled --limit 1000 --json | jq .fills
    """
    since_us = None if since is None else microseconds("--since", since)
    with open_audit(config) as reader:
        rows = reader.rows(
            key=key, outcome=outcome, since=since_us, after=after, limit=limit, newest_first=newest
        )
    instruments = Instruments(config.trading)
    stories = [story_of(row, instruments) for row in rows]
    if as_json:
        for story in stories:
            print_json_line(story)
    else:
        headings = ("row", "accepted", "key", "turn", "event", "outcome", "what happened", "event id")
        print_table(headings, [_row(story) for story in stories])


def _row(story: Story) -> tuple[str, ...]:
    return (
        str(story.seq),
        story.accepted,
        story.key,
        str(story.key_seq),
        story.event["type"],
        story.outcome,
        _gist(story),
        story.event_id,
    )


def _gist(story: Story) -> str:
    """What matters most, in a few words."""
    if story.fills:
        return ", ".join(f"{fill.side} {fill.quantity} at {fill.price}" for fill in story.fills)
    if story.rejected:
        return story.rejected.partition(":")[0]
    reasons = [reason.partition(":")[0] for leg in story.legs for reason in leg.reasons]
    ordered = [f"{leg.side} {leg.quantity} ordered" for leg in story.legs if leg.verdict == "ordered"]
    return ", ".join(ordered or reasons) or "–"


def _progress(checked: int, total: int) -> None:
    end = "\n" if checked >= total else ""
    click.echo(f"\r{checked} of {total} rows", nl=False, err=True)
    click.echo(end, nl=False, err=True)
