"""`ringline explain`: the whole story of one event."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json
from pipeline.cli.remote_audit import EVENT_ID_CHARS, RemoteAudit
from pipeline.cli.session import feed_token_option, feed_url_option, json_option, with_config
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.stages.story import FillStory, LegStory, Story, story_of
from pipeline.storage.audit import AuditReader, AuditRow
from pipeline.trading.instruments import Instruments


@click.command("explain")
@click.argument("identity", metavar="EVENT_ID|WEBHOOK_ID")
@feed_url_option
@feed_token_option
@json_option
@with_config
def command(config: Config, identity: str, url: str | None, token_env: str | None, as_json: bool) -> None:
    """Tell the whole story of one event.

    From the webhook over every strategy's decision, with its reasons, and the fills to the row in the audit.
    A control event has one row for each key. Exit code 1 when nothing of it is audited.

    \b
    Example:
      ringline explain 3f0c1be28a7d4c55a1f0c6d2b9e84710
      ringline explain msg_2KWPBgLlAfxdpx2AI54pPJ85f4W --json
      ringline explain msg_2KWPBgLlAfxdpx2AI54pPJ85f4W --url https://desk.example --token-env READ_TOKEN
    """
    stories = (
        _found_here(config, identity)
        if url is None
        else (RemoteAudit.at(config, url, token_env).of_event(identity))
    )
    if not stories:
        raise RinglineError(f"{identity}: no such event is audited (one accepted a moment ago may be soon)")
    if as_json:
        print_json(stories)
        return
    for story in stories:
        click.echo("\n".join(lines(story)))


def lines(story: Story) -> Iterator[str]:
    """A story as text, in the order in which it happened."""
    yield f"Event {story.event_id}: {story.outcome}"
    yield f"  accepted  {story.accepted} from {story.source}, webhook-id {story.webhook_id}"
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
    yield f"  row       {story.seq} of the audit, hash {story.chain_hash}"
    digests = f"{story.agent_digest[:16]}… {story.exec_digest[:16]}…"
    yield f"  code      {story.code or 'none'}, digests {digests}\n"


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
    instruments = Instruments(config.trading)
    return [story_of(row, instruments) for row in rows]


def _find(reader: AuditReader, identity: str) -> list[AuditRow]:
    if len(identity) == EVENT_ID_CHARS:
        try:
            event_id = bytes.fromhex(identity)
        except ValueError:
            event_id = b""
        if event_id and (rows := reader.by_event_id(event_id)):
            return rows
    return reader.by_webhook_id(identity)
