"""A client of the feed: one connection, its messages, and the URL and token to reach it with."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pipeline import limits
from pipeline.cli.http import TIMEOUT_S, Answer, request
from pipeline.config import Config
from pipeline.connection import reachable
from pipeline.errors import MissingError, RinglineError, UsageError

Message = dict[str, Any]
_MAX_MESSAGE_BYTES = 16 * limits.MIB


class FeedClient:
    """Knows where the feed is and who asks."""

    def __init__(
        self,
        config: Config,
        url: str | None,
        token_env: str | None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`url` None: the feed of `config`. Raises UsageError and MissingError."""
        feed = config.feed
        host = f"[{feed.host}]" if ":" in feed.host else feed.host
        self.url = (url or f"http://{host}:{feed.port}").rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise UsageError(f"--url {self.url}: expected http://HOST:PORT")
        self.headers = _authorization(config, token_env, environment)

    def get(self, path: str) -> Answer:
        """Raises MissingError when nobody answers, and RinglineError with a problem's own words."""
        answer = request("GET", self.url + path, headers=self.headers, timeout_s=TIMEOUT_S)
        if answer.status != 200:
            raise RinglineError(f"GET {self.url}{path}: {answer.status}: {_said(answer.body)}")
        return answer

    @contextlib.contextmanager
    def connect(self, **wanted: object) -> Iterator[ClientConnection]:
        """A session; `wanted` are its parameters. Raises MissingError and RinglineError."""
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        host = reachable(parts.hostname or "")
        where = f"[{host}]" if ":" in host else host
        query = urlencode([(name, one) for name, value in wanted.items() for one in _many(value)])
        port = f":{parts.port}" if parts.port else ""
        url = urlunsplit((scheme, f"{where}{port}", f"{parts.path}/v1/feed", query, ""))
        try:
            connection = connect(
                url, additional_headers=self.headers, compression=None, max_size=_MAX_MESSAGE_BYTES,
                open_timeout=TIMEOUT_S, proxy=None,
            )  # fmt: skip
        except InvalidStatus as error:
            response = error.response
            raise RinglineError(f"{url}: {response.status_code}: {_said(response.body or b'')}") from None
        except (OSError, InvalidHandshake) as error:
            raise MissingError(f"{url}: no answer: {getattr(error, 'strerror', None) or error}") from None
        with connection:
            yield connection


def receive(connection: ClientConnection, timeout_s: float | None = None) -> tuple[Message, int]:
    """The next message and the wall clock (µs) when it came. Raises ConnectionClosed and TimeoutError."""
    text = connection.recv(timeout_s)
    received_us = time.time_ns() // 1000
    message: Message = json.loads(text)
    return message, received_us


def farewell(error: ConnectionClosed) -> str:
    """Why the server closed, in its words."""
    if error.rcvd is None:
        return "the connection was lost"
    return error.rcvd.reason or f"closed with code {error.rcvd.code}"


def _many(value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _authorization(config: Config, token_env: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    feed = config.feed
    if token_env is not None:
        if token_env not in environment:
            raise MissingError(f"--token-env {token_env}: not set")
        return {"authorization": f"Bearer {environment[token_env].strip()}"}
    for file in (*feed.read_token_files, *feed.control_token_files):
        try:
            return {"authorization": f"Bearer {Path(file).read_text().strip()}"}
        except (OSError, UnicodeDecodeError):
            continue
    for name in (*feed.read_token_env, *feed.control_token_env):
        if name in environment:
            return {"authorization": f"Bearer {environment[name].strip()}"}
    return {}


class _Said(msgspec.Struct):
    title: str = ""
    detail: str = ""


def _said(body: bytes | bytearray) -> str:
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(body[:200]).decode("utf-8", "replace")
    return said.detail or said.title
