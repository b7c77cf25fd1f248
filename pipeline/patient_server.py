"""uvicorn's server without its clockwork: it wakes for requests, and for being told to leave.

uvicorn's own turns ten times a second, to see whether it should leave and to keep the Date header right,
which is a fifth of what a process of ours costs while nobody asks it for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import uvicorn
from uvicorn.server import ServerState

Headers = list[tuple[bytes, bytes]]


class DatedState(ServerState):
    """Makes the headers of every answer when it begins: the Date (RFC 9110, 6.6.1) once a second at most."""

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._second = -1
        self._own: Headers = []
        self._headers: Headers = []
        super().__init__()

    @property
    def default_headers(self) -> Headers:
        now_s = self._wall_s()
        if int(now_s) != self._second:
            self._second = int(now_s)
            self._headers = [(b"date", formatdate(now_s, usegmt=True).encode()), *self._own]
        return self._headers

    @default_headers.setter
    def default_headers(self, own: Headers) -> None:
        """Those beside the Date."""
        self._own = own
        self._second = -1


class PatientServer(uvicorn.Server):
    """Touches no signal handlers. Set `should_exit` on the loop that it serves on."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._leave = asyncio.Event()
        super().__init__(config)
        self.server_state = DatedState()

    @property
    def should_exit(self) -> bool:
        return self._leave.is_set()

    @should_exit.setter
    def should_exit(self, leaves: bool) -> None:
        if leaves:
            self._leave.set()
        else:
            self._leave.clear()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.server_state.default_headers = self.config.encoded_headers
        await self._leave.wait()
