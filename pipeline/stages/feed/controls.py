"""Halt, resume and flatten from the page: a control event, signed here, sent to the gateway.

The page names the event, so that pressing twice is one event.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from pipeline.clock import US_PER_S, Clock
from pipeline.config import Config
from pipeline.config.sources import sender_of
from pipeline.connection import FAILURES, connect, local_address, no_answer
from pipeline.errors import MissingError
from pipeline.messages import Action
from pipeline.signing import Secret, signed_headers
from pipeline.stages.feed.wanted import ParameterError
from pipeline.stages.gateway.answer import JSON, Answer
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.stages.gateway.secrets import source_secrets

ANSWER_S = 30.0
"""As long as Standard Webhooks lets a sender wait."""
NO_STORE = (b"cache-control", b"no-store")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page posts; `id` is the webhook-id."""

    action: Action
    id: str
    reason: str = ""


class Controls:
    """Sends as `feed.control_source`, else as the first source of profile `standard` that may."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def why_not(self) -> str:
        """Why nothing can be sent from here, whoever asks; empty when it can."""
        try:
            await asyncio.to_thread(self._sender)
        except MissingError as error:
            return str(error)
        return ""

    async def post(self, body: bytes) -> Answer:
        """The gateway's own answer, or the problem. Raises ParameterError."""
        try:
            wanted = msgspec.json.decode(body, type=Wanted)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ParameterError("body", f": {error}") from None
        if not 1 <= len(wanted.id) <= 100 or not wanted.id.isascii() or not wanted.id.isprintable():
            raise ParameterError("id", ": expected 1 to 100 printable ASCII characters")
        try:
            status, answer = await asyncio.to_thread(self._send, wanted)
        except MissingError as error:
            return problem(Problem.GATEWAY_AWAY, str(error), retry_after_s=1)
        return Answer(status, answer, (JSON, NO_STORE))

    def _send(self, wanted: Wanted) -> tuple[int, bytes]:
        name, secret = self._sender()
        event = {"type": "control", "action": wanted.action, "reason": wanted.reason}
        body = msgspec.json.encode(event)
        headers = signed_headers(secret, wanted.id, self._clock.wall_us() // US_PER_S, body)
        url = self._config.feed.gateway_url or _gateway_url(self._config)
        connection, parts = connect(url, ANSWER_S)
        try:
            path = f"{parts.path.rstrip('/')}/webhook/{name}"
            connection.request("POST", path, body, {"content-type": "application/json"} | headers)
            response = connection.getresponse()
            return response.status, response.read()
        except FAILURES as error:
            raise MissingError(no_answer(f"gateway {url}", error)) from None
        finally:
            connection.close()

    def _sender(self) -> tuple[str, Secret]:
        """Raises MissingError when there is no source that can be signed for here."""
        sources = self._config.sources
        name = self._config.feed.control_source or sender_of(sources, "control")
        if name is None:
            raise MissingError("sources: none has profile = standard and control among what it accepts")
        return name, source_secrets(name, sources[name], Path(self._config.data_dir), os.environ)[0]


def _gateway_url(config: Config) -> str:
    gateway = config.gateway
    scheme = "https" if gateway.tls_cert_file else "http"
    return f"{scheme}://{local_address(gateway.host)}:{gateway.port}"
