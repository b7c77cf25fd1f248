"""Warnings that somebody else can cause at will: a line now and then, which tells how many were left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pipeline.clock import NS_PER_S


class SeldomLog:
    """At most one line every `every_s` seconds."""

    def __init__(
        self, log: logging.Logger, every_s: int, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._log = log
        self._every_ns = every_s * NS_PER_S
        self._now_ns = now_ns
        self._next_ns = 0
        self._left_out = 0

    def say(self, text: str, *arguments: object) -> None:
        """Logs a warning, or counts it for the next one."""
        now_ns = self._now_ns()
        if now_ns < self._next_ns:
            self._left_out += 1
            return
        self._next_ns = now_ns + self._every_ns
        if self._left_out:
            self._log.warning(text + " (and %d more since the last line)", *arguments, self._left_out)
        else:
            self._log.warning(text, *arguments)
        self._left_out = 0
