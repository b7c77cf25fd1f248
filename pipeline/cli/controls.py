"""Halt, resume and flatten as commands: a signed control event, sent until accepted, then awaited."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec

from pipeline.cli.audit_file import open_audit
from pipeline.cli.output import print_json
from pipeline.cli.posting import (
    ACCEPTED,
    Sender,
    exit_code_of,
    in_words,
    new_id,
    said_in,
    source_option,
    timeout_option,
    url_option,
)
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, RinglineError
from pipeline.messages import Action
from pipeline.stages.story import Story, story_of
from pipeline.storage.audit import AuditReader
from pipeline.trading.instruments import Instruments

LOOK_S = 0.1
DONE = {Action.HALT: "halted", Action.RESUME: "resumed", Action.FLATTEN: "flattened and halted"}


def control_command(action: Action, text: str) -> click.Command:
    """The command of one action; `text` is its help."""

    @click.command(str(action), help=text)
    @click.option("--reason", metavar="TEXT", default="", help="Why; it stands in every row.")
    @source_option
    @click.option("--id", "webhook_id", metavar="ID", help="The webhook-id; else a new one.")
    @url_option
    @timeout_option
    @click.option("--no-wait", is_flag=True, help="Do not wait for the audit, which may be elsewhere.")
    @json_option
    @with_config
    def command(
        config: Config,
        reason: str,
        source: str | None,
        webhook_id: str | None,
        url: str | None,
        timeout_s: float,
        no_wait: bool,
        as_json: bool,
    ) -> int:
        body = msgspec.json.encode({"type": "control", "action": action, "reason": reason})
        name = webhook_id or new_id()
        answer = Sender(config, source, url, body=body).post_until_answered(body, name, timeout_s, _say)
        said = said_in(answer)
        found: dict[str, Any] = {
            "action": action, "status": answer.status, "webhook_id": name, "answer": said,
        }  # fmt: skip
        if answer.status != ACCEPTED:
            if as_json:
                print_json(found)
            else:
                click.echo(f"{answer.status}: {in_words(said)}: nothing is {DONE[action]}", err=True)
            return exit_code_of(answer)
        if no_wait:
            audited = True
            lines = [f"accepted as event {said['event_id']}; its rows were not waited for"]
        else:
            audited, stories = _audited(config, said["event_id"], timeout_s)
            found |= {"audited": audited, **_counted(stories)}
            lines = _lines(action, said["event_id"], stories, audited)
        if as_json:
            print_json(found)
        else:
            click.echo("\n".join(lines), err=not audited)
        return EXIT_OK if audited else EXIT_NO

    return command


def _audited(config: Config, event_id: str, timeout_s: float) -> tuple[bool, list[Story]]:
    """(whether every key of the audit has its row, the rows)."""
    deadline_s = time.monotonic() + timeout_s
    instruments = Instruments(config.trading)
    try:
        with open_audit(config) as reader:
            while (missing := _missing(reader, event_id)) and time.monotonic() < deadline_s:
                _tell(f"{missing} keys to go")
                time.sleep(LOOK_S)
            _tell("")
            rows = reader.by_event_id(bytes.fromhex(event_id))
    except RinglineError as error:
        raise type(error)(f"accepted as event {event_id}; its rows cannot be read here: {error}") from None
    return not missing, [story_of(row, instruments) for row in rows]


def _missing(reader: AuditReader, event_id: str) -> int:
    """Keys with rows, none of which is the event's. Keys that come later begin under it."""
    return reader.counts()["keys"] - len(reader.by_event_id(bytes.fromhex(event_id)))


def _counted(stories: list[Story]) -> dict[str, int]:
    legs = [leg for story in stories for leg in story.legs]
    return {
        "keys": len(stories),
        "rejected": sum(bool(story.rejected) for story in stories),
        "exits": sum(leg.verdict == "ordered" for leg in legs),
        "fills": sum(len(story.fills) for story in stories),
        "cancelled": sum(len(story.cancelled) for story in stories),
        "resting": sum(story.resting for story in stories),
    }


def _lines(action: Action, event_id: str, stories: list[Story], audited: bool) -> list[str]:
    counted = _counted(stories)
    keys = f"{counted['keys']} key{'' if counted['keys'] == 1 else 's'}"
    if not audited:
        return [f"event {event_id} is accepted and audited for {keys} only: see `ringline status`"]
    lines = [f"{keys} {DONE[action]} by event {event_id}; later ones begin so"]
    if action == Action.FLATTEN:
        lines.append(
            f"{counted['exits']} exits ordered, {counted['fills']} filled at once, {counted['cancelled']} "
            f"waiting orders taken back, {counted['resting']} wait for their next candle"
        )
    return lines


def _say(line: str) -> None:
    click.echo(f"ringline: {line}", err=True)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)
