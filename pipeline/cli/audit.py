"""`ringline audit`: verify, query, export, back up, reconcile, prune."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from pipeline import limits
from pipeline.cli.audit_file import find_public_key, open_audit, read_checkpoint
from pipeline.cli.output import print_json, print_json_line, print_table
from pipeline.cli.reconcile import command as reconcile
from pipeline.cli.remote_audit import RemoteAudit
from pipeline.cli.session import feed_token_option, feed_url_option, json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK
from pipeline.messages import Outcome
from pipeline.stages.story import Story, story_of
from pipeline.storage.audit import VerifyReport
from pipeline.trading.instruments import Instruments, microseconds


@click.group("audit")
def command() -> None:
    """Verify, query, export, back up, reconcile and prune the audit.

    All work while the pipeline runs.

    \b
    Example:
      ringline audit verify --checkpoint latest
      ringline audit query --outcome rejected --newest
      ringline audit prune --before 2026-01-01T00:00:00Z --archive 2025.jsonl
    """


command.add_command(reconcile)


@command.command()
@click.option(
    "--checkpoint", metavar="FILE|latest", help="Also that the chain passes through this checkpoint."
)
@click.option("--archive", metavar="FILE", help="Verify the archive that a prune left, not the audit.")
@click.option(
    "--public-key", metavar="FILE", help="The key of checkpoints; else data_dir/checkpoints/audit.vkey."
)
@json_option
@with_config
def verify(
    config: Config, checkpoint: str | None, archive: str | None, public_key: str | None, as_json: bool
) -> int:
    """Verify every row: chain, order within its key, digests.

    With a checkpoint also that no rows were cut off the end and that the chain was not written anew; use one,
    and a public key, that were copied to where nobody of this machine may write.

    Exit code 1 when a row is not as it was written, 3 when there is no audit.

    \b
    Example:
      ringline audit verify --json
      ringline audit verify --checkpoint /mnt/far/ringline.checkpoint --public-key ringline.vkey
    """
    if archive is not None:
        return _verify_archive(config, archive, public_key, as_json)
    show = None if as_json or not sys.stderr.isatty() else _progress
    with open_audit(config) as reader:
        key = find_public_key(config, public_key) if checkpoint or reader.prune_note() else None
        signed = None
        if checkpoint is not None and key is not None:
            signed = key.open(read_checkpoint(config, checkpoint))
        report = reader.verify(show, key=key, signed=signed)
        head = reader.head()
        whole = report.ok and not report.pruned
        digest = reader.run_digest() if whole else ""
        outcomes = reader.outcomes() if report.ok else {}
    if as_json:
        found = {"ok": report.ok, "rows": report.rows, "first_bad": report.first_bad, "detail": report.detail}
        print_json(
            {
                **found,
                "pruned": report.pruned,
                "checkpoint": signed.size if signed else None,
                "chain_hash": head.h.hex(),
                "digest": digest,
                "outcomes": outcomes,
            }
        )
    elif report.ok:
        rows = f"All {report.rows} rows are as they were"
        click.echo(f"{'The only row is as it was' if report.rows == 1 else rows} written.")
        if signed is not None:
            click.echo(f"Checkpoint  row {signed.size} is the one that was signed")
        if report.pruned:
            click.echo(f"Pruned      rows up to {report.pruned}, but for what rebuilding keys takes")
        click.echo(f"Chain hash  {head.h.hex()}")
        if whole:
            click.echo(f"Run digest  {digest}")
        click.echo("Outcomes    " + ", ".join(f"{name} {count}" for name, count in outcomes.items()))
    else:
        _tell_fault("The audit", report)
    return EXIT_OK if report.ok else EXIT_NO


def _verify_archive(config: Config, archive: str, public_key: str | None, as_json: bool) -> int:
    from pipeline.storage.audit.archive import verify_archive

    report = verify_archive(Path(archive), find_public_key(config, public_key))
    if as_json:
        print_json(
            {"ok": report.ok, "rows": report.rows, "first_bad": report.first_bad, "detail": report.detail}
        )
    elif report.ok:
        click.echo(f"All {report.rows} rows of the archive are as they were written, up to its signed end.")
    else:
        _tell_fault("The archive", report)
    return EXIT_OK if report.ok else EXIT_NO


def _tell_fault(what: str, report: VerifyReport) -> None:
    good = "the row before it is good" if report.rows == 1 else f"{report.rows} rows before it are good"
    click.echo(f"{what} does not verify: {report.detail} ({good}).", err=True)


@command.command()
@click.option("--after", type=click.IntRange(min=0), default=0, help="Rows after this row number.")
@with_config
def export(config: Config, after: int) -> None:
    """Print every row as a JSON line, complete and exact: `body` is base64 of the bytes that were chained.

    \b
    Example:
      ringline audit export > audit.jsonl
    """
    from pipeline.storage.audit.archive import row_line

    with open_audit(config) as reader:
        for page in reader.pages(after, reader.head().seq):
            click.echo(b"".join(map(row_line, page)), nl=False)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_config
def backup(config: Config, file: Path) -> None:
    """Copy the audit as it is now into the new FILE; it becomes one by the name audit.sqlite in a data_dir.

    For an audit in PostgreSQL take pg_dump of its schema, or `ringline audit export`.

    \b
    Example:
      ringline audit backup /mnt/far/audit-2026-01-31.sqlite
    """
    from pipeline.storage.audit.backup import back_up

    rows = back_up(config, file)
    click.echo(f"{rows} rows in {file}")


@command.command()
@click.option(
    "--before", required=True, metavar="RFC3339", help="Rows before the first accepted then or later."
)
@click.option("--archive", required=True, type=click.Path(path_type=Path), help="A new file for what leaves.")
@json_option
@with_config
def prune(config: Config, before: str, archive: Path, as_json: bool) -> None:
    """Move old rows to an archive, whose end is a signed checkpoint from which the chain goes on.

    The audit is verified first. Of each key the rows since its last stored states stay, so that it can be
    rebuilt. The run digest is that of whole audits only.

    \b
    Example:
      ringline audit prune --before 2026-01-01T00:00:00Z --archive 2025.jsonl
      ringline audit verify --archive 2025.jsonl
    """
    from pipeline.storage.audit.checkpoints import load_signing_key
    from pipeline.storage.audit.engines import open_database
    from pipeline.storage.audit.prunes import prune as prune_rows

    before_us = microseconds("--before", before)
    show = None if as_json or not sys.stderr.isatty() else _progress
    with contextlib.closing(open_database(config, writable=True)) as database:
        done = prune_rows(database, load_signing_key(config), before_us, archive, show)
    if as_json:
        print_json(done)
    elif done.archived:
        click.echo(f"{done.archived} rows archived in {archive}, {done.removed} taken out.")
    else:
        click.echo("No row is that old: nothing was done.")


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
@feed_url_option
@feed_token_option
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
    url: str | None,
    token_env: str | None,
    as_json: bool,
) -> None:
    """Show rows of the audit; with --json one document a line, with everything that is recorded.

    \b
    Example:
      ringline audit query --key AAPL --since 2026-01-31T09:00:00Z
      ringline audit query --outcome filled --limit 1000 --json | jq .fills
      ringline audit query --newest --url https://desk.example --token-env READ_TOKEN
    """
    since_us = None if since is None else microseconds("--since", since)
    if url is not None:
        stories = RemoteAudit.at(config, url, token_env).rows(
            key=key, outcome=outcome, since=since, after=after, limit=limit, newest_first=newest
        )
    else:
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
