"""Sends signed checkpoints to another machine by HTTP, in a thread of its own: no append ever waits for it.

Only the newest one matters, as it covers all before it: while one cannot be sent, a newer takes its place.
"""

from __future__ import annotations

import http.client
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import limits
from pipeline.config.schema import Audit
from pipeline.errors import MissingError

log = logging.getLogger(__name__)

Send = Callable[[bytes], int]
"""Sends one note; the status answered. Raises OSError or http.client.HTTPException."""


class CheckpointSender:
    """`give` it notes, from any thread; `close` it to end."""

    def __init__(self, send: Send, where: str, pause_s: float = limits.CHECKPOINT_PAUSE_MIN_S) -> None:
        """`where` names the receiver for people. Prefer `open_sender`."""
        self._send = send
        self._where = where
        self._pause_min_s = pause_s
        self._note: bytes | None = None
        self._wake = threading.Event()
        self._leave = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self.sent = 0
        self.failed = 0
        """Attempts that failed."""
        self._thread = threading.Thread(target=self._run, name="checkpoint-sender", daemon=True)
        self._thread.start()

    def give(self, note: bytes) -> None:
        """Send this as soon as may be, and nothing older any more."""
        self._idle.clear()
        self._note = note
        self._wake.set()

    def close(self, within_s: float = 1.0) -> None:
        """What was given is still tried once; it takes little more than `within_s`, arrived or not."""
        self._idle.wait(within_s)
        self._leave.set()
        self._wake.set()
        self._thread.join(0.1)

    def _run(self) -> None:
        pause_s = self._pause_min_s
        while not self._leave.is_set():
            self._wake.wait()
            self._wake.clear()
            note = self._note
            if note is None or self._leave.is_set():
                continue
            fault = self._attempt(note)
            if not fault:
                self.sent += 1
                pause_s = self._pause_min_s
                if self._note is note:
                    self._note = None
                    self._idle.set()
                continue
            self.failed += 1
            log.warning("checkpoint: %s: %s; again in %g s", self._where, fault, pause_s)
            self._leave.wait(pause_s)
            pause_s = min(2 * pause_s, limits.CHECKPOINT_PAUSE_MAX_S)
            self._wake.set()

    def _attempt(self, note: bytes) -> str:
        """What went wrong; empty when it arrived."""
        try:
            status = self._send(note)
        except (OSError, http.client.HTTPException) as error:
            return getattr(error, "strerror", None) or str(error) or type(error).__name__
        return "" if 200 <= status < 300 else f"answered {status}"


def open_sender(audit: Audit, environment: Mapping[str, str] = os.environ) -> CheckpointSender | None:
    """The one that `audit` asks for; None when it asks for none. Raises MissingError for its token."""
    if not audit.checkpoint_url:
        return None
    token = _token(audit, environment)
    parts = urlsplit(audit.checkpoint_url)
    if not parts.hostname:
        raise MissingError(f"audit.checkpoint_url = {audit.checkpoint_url!r}: names no host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"content-type": "text/plain; charset=utf-8"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    host, port = parts.hostname, parts.port

    def send(note: bytes) -> int:
        connection = kind(host, port, timeout=limits.CHECKPOINT_SEND_S)
        try:
            connection.request(audit.checkpoint_method, path, note, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    return CheckpointSender(send, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _token(audit: Audit, environment: Mapping[str, str]) -> str:
    if audit.checkpoint_token_file:
        try:
            text = Path(audit.checkpoint_token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no ASCII text"
            raise MissingError(
                f"audit.checkpoint_token_file {audit.checkpoint_token_file}: {reason}"
            ) from None
    elif audit.checkpoint_token_env:
        text = environment.get(audit.checkpoint_token_env, "").strip()
    else:
        return ""
    if not text or not text.isascii() or not text.isprintable():
        raise MissingError(
            "audit.checkpoint_token_file, audit.checkpoint_token_env: hold no token of ASCII text"
        )
    return text
