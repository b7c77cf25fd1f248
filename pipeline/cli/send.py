"""`ringline send`: one signed event."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import IO, Any

import click
import msgspec

from pipeline.cli.http import Answer, request
from pipeline.cli.output import print_json
from pipeline.cli.posting import (
    ACCEPTED,
    Sender,
    exit_code_of,
    in_words,
    new_id,
    said_in,
    source_option,
    url_option,
)
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_OK, UsageError
from pipeline.messages import Action

CANDLE_FIELDS = ("time", "open", "high", "low", "close", "volume")
SIGNAL_FIELDS = ("side", "strategy", "quantity", "price")


@click.command("send")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--symbol", help="What a candle or a signal is about.")
@click.option("--side", type=click.Choice(("buy", "sell", "close")), help="A signal's side.")
@click.option("--quantity", metavar="DECIMAL", help="A signal's quantity.")
@click.option("--price", metavar="DECIMAL", help="A signal's price; else the last close known.")
@click.option("--strategy", metavar="NAME", help="Whose signal it is.")
@click.option("--time", metavar="RFC3339", help="A candle's close, such as 2013-03-01T16:00:00-05:00.")
@click.option("--open", metavar="DECIMAL", help="A candle's prices …")
@click.option("--high", metavar="DECIMAL")
@click.option("--low", metavar="DECIMAL")
@click.option("--close", metavar="DECIMAL")
@click.option("--volume", metavar="DECIMAL", help="… and volume.")
@click.option("--control", type=click.Choice([str(action) for action in Action]), help="A control event.")
@click.option("--reason", metavar="TEXT", help="Why, for a control event.")
@source_option
@click.option(
    "--id", "webhook_id", metavar="ID", help="The webhook-id; else a new one. A repeat is a duplicate."
)
@url_option
@click.option("--print-curl", is_flag=True, help="Send nothing; print a curl line with a valid signature.")
@json_option
@with_config
def command(
    config: Config,
    file: IO[bytes] | None,
    source: str | None,
    webhook_id: str | None,
    url: str | None,
    print_curl: bool,
    as_json: bool,
    **fields: str | None,
) -> int:
    """Send one signed event.

    A signal, a candle or a control event from options, or any JSON from FILE (- is standard input). Exit
    code 1 when the gateway refuses it, 3 when it cannot be reached or has no room.

    \b
    Example:
      ringline send --symbol AAPL --side buy --quantity 10 --price 101.25
      ringline send --control halt --reason "fat finger"
      echo '{"type": "signal", "symbol": "AAPL", "side": "close"}' | ringline send -
      ringline send --symbol AAPL --side sell --print-curl | sh
    """
    body = _body(file, fields)
    sender = Sender(config, source, url, body=body)
    headers = sender.signed(body, webhook_id or new_id())
    if print_curl:
        click.echo(curl_line(sender.url, headers, body))
        return EXIT_OK
    answer = request("POST", sender.url, headers=headers, body=body)
    return _show(answer, headers["webhook-id"], as_json=as_json)


def curl_line(url: str, headers: Mapping[str, str], body: bytes) -> str:
    """A command line for any shell that posts exactly these bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"--print-curl: this body is not text: {error}") from None
    words = ["curl", "--silent", "--show-error", "--include", url]
    for name, value in headers.items():
        words += ["--header", f"{name}: {value}"]
    return shlex.join([*words, "--data-raw", text])


def _body(file: IO[bytes] | None, fields: Mapping[str, str | None]) -> bytes:
    given = {name: value for name, value in fields.items() if value is not None}
    if file is not None:
        if given:
            raise UsageError(f"either FILE or --{', --'.join(given)}, not both")
        return file.read()
    event = _event(given)
    if not event:
        raise UsageError(
            "nothing to send: give --symbol and --side, --control, the options of a candle, or FILE"
        )
    return msgspec.json.encode(event)


def _event(given: Mapping[str, str]) -> dict[str, Any]:
    """The event that the options describe; the gateway is the one to judge it."""
    if "control" in given:
        _only(given, "control", "reason")
        reason = {"reason": given["reason"]} if "reason" in given else {}
        return {"type": "control", "action": given["control"], **reason}
    if any(name in given for name in CANDLE_FIELDS):
        _only(given, "symbol", *CANDLE_FIELDS)
        return {"type": "candle", **given}
    if given:
        _only(given, "symbol", *SIGNAL_FIELDS)
        return {"type": "signal", **given}
    return {}


def _only(given: Mapping[str, str], *allowed: str) -> None:
    foreign = [name for name in given if name not in allowed]
    if foreign:
        raise UsageError(
            f"--{foreign[0]} does not go with --{next(name for name in allowed if name in given)}"
        )


def _show(answer: Answer, webhook_id: str, *, as_json: bool) -> int:
    said = said_in(answer)
    if as_json:
        print_json({"status": answer.status, "webhook_id": webhook_id, "answer": said})
    else:
        again = ", a duplicate" if "idempotent-replayed" in answer.headers else ""
        refused = answer.status != ACCEPTED
        click.echo(f"{answer.status}{again}: {in_words(said)} (webhook-id {webhook_id})", err=refused)
    return exit_code_of(answer)
