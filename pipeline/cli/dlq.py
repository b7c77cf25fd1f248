"""`ringline dlq`: events that were given up, and sending them anew."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from pipeline import limits
from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json, print_json_line, print_table
from pipeline.cli.posting import (
    ACCEPTED,
    Sender,
    exit_code_of,
    in_words,
    said_in,
    source_option,
    timeout_option,
    url_option,
)
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, RinglineError, UsageError
from pipeline.messages import Outcome
from pipeline.stages.story import Story, story_of
from pipeline.trading.instruments import Instruments

LOOK_S = 0.1
EVENT_ID_CHARS = 32


@click.group("dlq")
def command() -> None:
    """List events that were given up, and send them again.

    An event is given up when it has killed three workers; its row says so and its key goes on.

    \b
    Example:
      ringline dlq list
      ringline dlq retry 3f0c1be28a7d4c55a1f0c6d2b9e84710
    """


@command.command("list")
@click.option("--key", metavar="SYMBOL", help="Of one symbol.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Rows after this row number: page on.")
@click.option(
    "--limit", type=click.IntRange(1, limits.MAX_QUERY_ROWS), default=100, show_default=True, help="At most."
)
@json_option
@with_config
def listing(config: Config, key: str | None, after: int, limit: int, as_json: bool) -> None:
    """Show the events that were given up, oldest first; with --json one document a line.

    \b
    Example:
      ringline dlq list --key AAPL --json
    """
    instruments = Instruments(config.trading)
    with open_audit(config) as reader:
        rows = reader.rows(key=key, outcome=Outcome.DEAD_LETTERED.value, after=after, limit=limit)
    stories = [story_of(row, instruments) for row in rows]
    if as_json:
        for story in stories:
            print_json_line(story)
    elif stories:
        headings = ("row", "accepted", "key", "turn", "source", "event", "event id")
        print_table(headings, [_row(story) for story in stories])
    else:
        click.echo("No event was given up.")


@command.command()
@click.argument("event_id", metavar="EVENT_ID")
@source_option
@url_option
@timeout_option
@click.option("--no-wait", is_flag=True, help="Do not wait for its row.")
@json_option
@with_config
def retry(
    config: Config,
    event_id: str,
    source: str | None,
    url: str | None,
    timeout_s: float,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Send an event that was given up as a new one, and say how it ends.

    Its id is made of the old one, so asking twice sends it once. It takes its turn now: a candle older than
    the last one of its symbol is refused. Exit code 1 when it is refused, given up again or not audited in
    time.

    \b
    Example:
      ringline dlq retry 3f0c1be28a7d4c55a1f0c6d2b9e84710 --json
    """
    old = _dead(config, event_id)
    body = msgspec.json.encode(old.event | {"symbol": old.key})
    webhook_id = f"retry-{old.event_id}"
    answer = Sender(config, source, url, body=body).post_until_answered(
        body, webhook_id, timeout_s, lambda line: click.echo(f"ringline: {line}", err=True)
    )
    said = said_in(answer)
    found: dict[str, Any] = {"status": answer.status, "webhook_id": webhook_id, "answer": said, "row": None}
    if answer.status != ACCEPTED:
        return _show(found, f"{answer.status}: {in_words(said)}", exit_code_of(answer), as_json)
    new_id = said["event_id"]
    if no_wait:
        return _show(found, f"accepted as event {new_id}; its row was not waited for", EXIT_OK, as_json)
    story = _audited(config, new_id, timeout_s)
    if story is None:
        line = f"accepted as event {new_id}, and not audited after {timeout_s:g} s"
        return _show(found, line, EXIT_NO, as_json)
    reason = f": {story.rejected}" if story.rejected else ""
    line = f"event {new_id} in place of {event_id}: {story.outcome}{reason}"
    good = story.outcome not in (Outcome.REJECTED, Outcome.DEAD_LETTERED)
    return _show(found | {"row": story}, line, EXIT_OK if good else EXIT_NO, as_json)


def _dead(config: Config, event_id: str) -> Story:
    """The story of the event. Raises UsageError when that is no id or was not given up."""
    try:
        raw = bytes.fromhex(event_id) if len(event_id) == EVENT_ID_CHARS else b""
    except ValueError:
        raw = b""
    if not raw:
        raise UsageError(
            f"{event_id!r}: an event id has {EVENT_ID_CHARS} hexadecimal digits; see `ringline dlq list`"
        )
    with open_audit(config) as reader:
        rows = reader.by_event_id(raw)
    if not rows:
        raise RinglineError(f"{event_id}: no such event is audited")
    story = story_of(rows[0], Instruments(config.trading))
    if story.outcome != Outcome.DEAD_LETTERED:
        raise UsageError(f"{event_id}: was not given up, it ended as {story.outcome}")
    return story


def _audited(config: Config, event_id: str, timeout_s: float) -> Story | None:
    deadline_s = time.monotonic() + timeout_s
    with open_audit(config) as reader:
        while not (rows := reader.by_event_id(bytes.fromhex(event_id))):
            if time.monotonic() > deadline_s:
                return None
            time.sleep(LOOK_S)
    return story_of(rows[0], Instruments(config.trading))


def _show(found: dict[str, Any], line: str, code: int, as_json: bool) -> int:
    if as_json:
        print_json(found)
    else:
        click.echo(line, err=code != EXIT_OK)
    return code


def _row(story: Story) -> tuple[str, ...]:
    event = " ".join(f"{name} {value}" for name, value in story.event.items())
    return (
        str(story.seq), story.accepted, story.key, str(story.key_seq), story.source, event, story.event_id,
    )  # fmt: skip
