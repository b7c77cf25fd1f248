"""`ringline explain`: the whole story of one event."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.checks import DERIVED
from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json
from pipeline.cli.remote_audit import RemoteAudit, event_id_of
from pipeline.cli.session import feed_token_option, feed_url_option, json_option, with_config
from pipeline.clock import US_PER_MS
from pipeline.config import Config
from pipeline.errors import RinglineError, UsageError
from pipeline.stages.story import FillStory, LegStory, Story, story_of
from pipeline.stages.way import ChecksStory, steps
from pipeline.storage.audit import AuditReader, AuditRow
from pipeline.storage.audit.checkpoint import Archived
from pipeline.trading.instruments import Instruments

SHOWN_ARCHIVES = 3


@click.command("explain")
@click.argument("identity", metavar="EVENT_ID|WEBHOOK_ID")
@feed_url_option
@feed_token_option
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    help="Look in the archive that a prune left, not in the audit.",
)
@json_option
@with_config
def command(
    config: Config,
    identity: str,
    url: str | None,
    token_env: str | None,
    archive: Path | None,
    as_json: bool,
) -> None:
    """Tell the whole story of one event.

    From the webhook over what was checked of it, every strategy's decision, with its reasons, and the fills
    to the row in the audit; and when each stage had done its part, by the wall clock of its machine. What an
    older version did not record says so. A control event has one row for each key.

    Exit code 1 when nothing of it is audited. Of a row that was pruned, --archive FILE tells; that an archive
    is as it was written says `ringline audit verify --archive FILE`.

    \b
    Example:
      ringline explain 3f0c1be28a7d4c55a1f0c6d2b9e84710
      ringline explain msg_2KWPBgLlAfxdpx2AI54pPJ85f4W --json
      ringline explain msg_2KWPBgLlAfxdpx2AI54pPJ85f4W --url https://desk.example --token-env READ_TOKEN
      ringline explain 3f0c1be28a7d4c55a1f0c6d2b9e84710 --archive 2025.jsonl
    """
    if archive is not None:
        if url is not None:
            raise UsageError("--archive is a file of this machine: it cannot be asked of --url")
        stories = _found_in(config, archive, identity)
    elif url is None:
        stories = _found_here(config, identity)
    else:
        stories = _found_there(RemoteAudit.at(config, url, token_env), identity)
    if as_json:
        print_json(stories)
        return
    for story in stories:
        click.echo("\n".join(lines(story)))


def lines(story: Story) -> Iterator[str]:
    """A story as text, in the order in which it happened."""
    yield f"Event {story.event_id}: {story.outcome}"
    yield f"  accepted  {story.accepted} from {story.source}, webhook-id {story.webhook_id}"
    yield from _check_lines(story.checks)
    if story.traceparent:
        yield f"  trace     {story.traceparent}"
    event = " ".join(f"{name} {value}" for name, value in story.event.items() if name != "type")
    yield f"  event     {story.event['type']} {event}".rstrip()
    yield f"  turn      number {story.key_seq} of {story.key}"
    if story.fate != "live":
        yield f"  fate      {story.fate}: every stage passed it on untouched"
    if story.rejected:
        yield f"  refused   {story.rejected}"
    for given in story.inputs:
        yield f"  input     {given}"
    for leg in story.legs:
        yield from _leg_lines(leg)
    for fill in story.fills:
        yield _fill_line(fill)
    for cancel in story.cancelled:
        order = _order(cancel.order_seq, cancel.order_leg)
        yield f"  cancelled {cancel.strategy} {cancel.quantity} of {order}"
    if story.resting:
        yield f"  resting   {story.resting} order{'s wait' if story.resting > 1 else ' waits'} to be filled"
    yield from _way_lines(story)
    yield f"  row       {story.seq} of the audit, hash {story.chain_hash}"
    digests = f"{story.agent_digest[:16]}… {story.exec_digest[:16]}…"
    yield f"  code      {story.code or 'none'}, digests {digests}\n"


def _check_lines(checks: ChecksStory | None) -> Iterator[str]:
    if checks is None:
        yield "  checked   not recorded"
        return
    yield f"  checked   as {checks.profile}, by secret {checks.secret}, {_age(checks.age_ms)}"
    came = "alone" if checks.index is None else f"as event {checks.index} of a batch"
    name = "derived, for the sender named none" if checks.named_by == DERIVED else f"from {checks.named_by}"
    yield f"            came {came} in a body of {checks.body_bytes} bytes; webhook-id {name}"
    if checks.passed:
        yield f"            passed {', '.join(checks.passed)}"


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "no time signed"
    return f"signed {age_ms} ms before" if age_ms >= 0 else f"signed {-age_ms} ms ahead of its acceptance"


def _way_lines(story: Story) -> Iterator[str]:
    if story.way is None:
        yield "  time      not told: the feed is of an older version"
        return
    for step in steps(story.accepted, story.way):
        if step.after_us is None:
            yield f"  time      {step.name:10} not recorded"
        else:
            yield f"  time      {step.name:10} {step.at} {step.after_us / US_PER_MS:+.3f} ms"


def _leg_lines(leg: LegStory) -> Iterator[str]:
    price = f" at {leg.price}" if leg.price else ""
    wish = f": {leg.intent} {leg.side} {leg.quantity}{price}" if leg.quantity else ""
    yield f"  decision  {leg.strategy} {leg.verdict}{wish}"
    for reason in leg.reasons:
        yield f"            because {reason}"
    if leg.retry_at:
        yield f"            until {leg.retry_at}"


def _fill_line(fill: FillStory) -> str:
    return (
        f"  fill      {fill.strategy} {fill.side} {fill.quantity} at {fill.price} ({fill.policy}) "
        f"for {_order(fill.order_seq, fill.order_leg)}; commission {fill.commission}, "
        f"realised {fill.realised}, position {fill.position}"
    )


def _order(order_seq: int, order_leg: int) -> str:
    return f"the order of event number {order_seq}, leg {order_leg}"


def _found_here(config: Config, identity: str) -> list[Story]:
    with open_audit(config) as reader:
        rows = _find(reader, identity)
        pruned = 0 if rows else reader.first() - 1
        archives = reader.archives() if pruned else ()
    if not rows:
        raise _nothing(identity, pruned, archives)
    return _told(config, rows)


def _found_there(audit: RemoteAudit, identity: str) -> list[Story]:
    stories = audit.of_event(identity)
    if not stories:
        raise _nothing(identity, audit.first() - 1)
    return stories


def _found_in(config: Config, archive: Path, identity: str) -> list[Story]:
    from pipeline.storage.audit.archive import find_rows

    rows = find_rows(archive, event_id_of(identity), identity)
    if not rows:
        raise RinglineError(f"{identity}: no such event is in the archive {archive}")
    return _told(config, rows)


def _told(config: Config, rows: list[AuditRow]) -> list[Story]:
    instruments = Instruments(config.trading)
    return [story_of(row, instruments) for row in rows]


def _nothing(identity: str, pruned: int, archives: tuple[Archived, ...] = ()) -> RinglineError:
    """`pruned`: the last row that was taken out; the archives named are those that are known."""
    said = f"{identity}: no such event is audited (one accepted a moment ago may be soon)"
    if not pruned:
        return RinglineError(said)
    said += f"; rows up to {pruned} were pruned, and --archive FILE tells of those"
    named = [f"{_rows(one)} archived in {one.file}" for one in reversed(archives)]
    if len(named) > SHOWN_ARCHIVES:
        named[SHOWN_ARCHIVES:] = [f"{len(named) - SHOWN_ARCHIVES} more archives before"]
    return RinglineError(f"{said}: {', '.join(named)}" if named else said)


def _rows(one: Archived) -> str:
    return f"row {one.last} is" if one.first == one.last else f"rows {one.first} to {one.last} are"


def _find(reader: AuditReader, identity: str) -> list[AuditRow]:
    event_id = event_id_of(identity)
    if event_id and (rows := reader.by_event_id(event_id)):
        return rows
    return reader.by_webhook_id(identity)
