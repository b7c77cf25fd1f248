"""Signed events to the gateway of a configuration, and what it answers in words."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from pipeline.cli.http import Answer, request
from pipeline.config import Config
from pipeline.config.sources import KINDS, sender_of
from pipeline.connection import local_address
from pipeline.errors import EXIT_MISSING, EXIT_NO, EXIT_OK, MissingError, UsageError
from pipeline.signing import signed_headers
from pipeline.stages.gateway.secrets import source_secrets

ACCEPTED = 202
UNAVAILABLE = 503
TOO_MANY = 429
AGAIN_S = 0.5
"""Between two attempts where the gateway has no room or does not answer."""

source_option = click.option(
    "--source", metavar="NAME", help="Who sends it: a name under `sources`; else the first that may."
)
url_option = click.option("--url", metavar="URL", help="The gateway, if not the configured one.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30,
    show_default=True,
    help="Seconds until it must be accepted, and again until it must be audited.",
)


class Sender:
    """Signs as source `name` (else the first that may send events of the kind of `body`). Raises UsageError
    for one that is unknown or not signed so."""

    def __init__(
        self, config: Config, name: str | None = None, url: str | None = None, *, body: bytes = b""
    ) -> None:
        name = name or sender_of(config.sources, *_kinds_in(body)) or next(iter(config.sources))
        if name not in config.sources:
            raise UsageError(f"--source {name!r}: unknown; here are {', '.join(config.sources)}")
        self._secret = source_secrets(name, config.sources[name], Path(config.data_dir), os.environ)[0]
        scheme = "https" if config.gateway.tls_cert_file else "http"
        base = url or f"{scheme}://{local_address(config.gateway.host)}:{config.gateway.port}"
        self.url = f"{base.rstrip('/')}/webhook/{name}"

    def signed(self, body: bytes, webhook_id: str) -> dict[str, str]:
        """The headers of `body`, good for some minutes from now on."""
        return {"content-type": "application/json"} | signed_headers(
            self._secret, webhook_id, int(time.time()), body
        )

    def post_until_answered(
        self,
        body: bytes,
        webhook_id: str,
        within_s: float,
        say: Callable[[str], None],
        sleep: Callable[[float], object] = time.sleep,
    ) -> Answer:
        """Posts again under the same id, so that it happens once, until the gateway says yes or no.

        `say` is told why it takes longer. Raises MissingError when there is no answer in time.
        """
        deadline_s = time.monotonic() + within_s
        told = ""
        while True:
            try:
                answer = request("POST", self.url, headers=self.signed(body, webhook_id), body=body)
                if answer.status not in (UNAVAILABLE, TOO_MANY):
                    return answer
                why = f"{answer.status}: {in_words(said_in(answer))}"
            except MissingError as error:
                why = str(error)
            if time.monotonic() + AGAIN_S > deadline_s:
                raise MissingError(f"not accepted within {within_s:g} s: {why}")
            if why != told:
                say(f"not accepted yet, trying again: {why}")
                told = why
            sleep(AGAIN_S)


def _kinds_in(body: bytes) -> tuple[str, ...]:
    """The kind that a body says it is; none where only the gateway can tell what is wrong with it."""
    try:
        kind = msgspec.json.decode(body).get("type")
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return ()
    return (kind,) if kind in KINDS else ()


def new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


def said_in(answer: Answer) -> Any:
    """The body as JSON, else as text."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer.body.decode(errors="replace").strip()


def in_words(said: Any) -> str:
    """A problem's detail, or an answer's fields, on one line."""
    if not isinstance(said, dict):
        return " ".join(str(said).split())[:300]
    if "detail" in said or "title" in said:
        return str(said.get("detail") or said["title"])
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


def exit_code_of(answer: Answer) -> int:
    if answer.status == ACCEPTED:
        return EXIT_OK
    return EXIT_MISSING if answer.status == UNAVAILABLE else EXIT_NO
