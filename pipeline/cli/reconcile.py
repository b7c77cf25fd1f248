"""`ringline audit reconcile`: has the gateway send again what a restored audit lacks."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import print_json
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, MissingError

if TYPE_CHECKING:
    from pipeline.stages.gateway.reconcile import KeyAnswer, Mailbox, ReconcileAnswer

LOOK_S = 0.05


@click.command("reconcile")
@click.option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    default=600,
    show_default=True,
    help="Seconds to wait; the gateway goes on by itself.",
)
@json_option
@with_config
def command(config: Config, timeout: int, as_json: bool) -> int:
    """Have the gateway send again what an audit that was restored from a backup lacks.

    The gateway stops every key that the audit lacks settled rows of. It keeps settled events for
    journal.keep_settled_s, and sends them again in order: they are decided as they were, and the run digest
    is the same. The chain is another one from the backup on, so checkpoints signed after it are set aside, in
    data_dir/checkpoints/superseded. Exit code 1 when something is gone; that key stays stopped.

    \b
    Example:
      ringline audit reconcile
      ringline audit verify
    """
    from pipeline.stages.gateway.reconcile import Mailbox
    from pipeline.supervisor import is_running

    mailbox = Mailbox(Path(config.data_dir))
    if not is_running(config.data_dir):
        raise MissingError(
            f"data_dir {config.data_dir}: the pipeline is not running; the gateway has to send"
        )
    answer = _ask(mailbox, timeout)
    superseded = _set_aside(config) if answer.ok else []
    if as_json:
        print_json({"ok": answer.ok, "answer": answer, "superseded_checkpoints": len(superseded)})
    else:
        _tell(answer, len(superseded))
    return EXIT_OK if answer.ok else EXIT_NO


def _ask(mailbox: Mailbox, timeout_s: float) -> ReconcileAnswer:
    request = os.urandom(8).hex()
    deadline_s = time.monotonic() + timeout_s
    try:
        mailbox.ask(request)
    except OSError as error:
        raise MissingError(f"the request cannot be written: {error}") from None
    while time.monotonic() < deadline_s:
        answer = mailbox.answered(request)
        if answer is not None and answer.done:
            return answer
        time.sleep(LOOK_S)
    mailbox.withdraw()
    raise MissingError(f"the gateway has not finished within {timeout_s:g} s; see `ringline status`")


def _set_aside(config: Config) -> list[Path]:
    from pipeline.cli.audit_file import open_audit
    from pipeline.storage.audit.checkpoints import (
        checkpoint_folder,
        load_public_key,
        public_key_file,
        set_aside,
    )

    with contextlib.suppress(MissingError), open_audit(config) as reader:
        return set_aside(reader, load_public_key(public_key_file(config)), checkpoint_folder(config))
    return []


def _tell(answer: ReconcileAnswer, superseded: int) -> None:
    if answer.fault:
        click.echo(f"ringline: {answer.fault}", err=True)
        return
    for key, one in answer.keys.items():
        click.echo(_line(key, one), err=bool(one.gone or one.fault))
    resent = sum(one.resent for one in answer.keys.values())
    click.echo(f"{answer.checked} keys checked, {resent} events of {len(answer.keys)} keys sent again.")
    if superseded:
        click.echo(f"{superseded} checkpoints of the chain before the restore are in checkpoints/superseded.")


def _line(key: str, one: KeyAnswer) -> str:
    lacked = f"{key}: the audit had {one.audit} of {one.journal} settled events"
    if one.gone:
        ranges = ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in one.gone)
        return f"{lacked}; gone from the journal as well: {ranges}; restore a newer backup. It stays stopped"
    if one.fault:
        return f"{lacked}; {one.resent} were sent again, then {one.fault}. It stays stopped"
    return f"{lacked}; the others are there again"
