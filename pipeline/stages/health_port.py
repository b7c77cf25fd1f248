"""Whether a worker lives and whether it is leaving, over HTTP, answered from the worker's own loop.

An answer proves that the loop turns; a worker that hangs says nothing, and its kubelet restarts it. Nothing
here depends on other stages, on lag or on credit: a slow pipeline must not restart its workers.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from pipeline import limits
from pipeline.errors import MissingError

MAX_REQUEST_BYTES = 4096
"""A probe's request is a few hundred bytes; what is longer is no probe."""


class HealthPort:
    """`/healthz` is 200 whenever it is answered, `/readyz` 503 once the worker leaves. Call `serve` about ten
    times a second; it never waits."""

    def __init__(self, host: str, port: int, leaving: Callable[[], bool]) -> None:
        """Raises MissingError when the port cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=16)
        except OSError as error:
            raise MissingError(f"health port {port}: cannot listen on {host}: {error.strerror}") from None
        self._listener.setblocking(False)
        self._leaving = leaving
        self._open: deque[socket.socket] = deque()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Answers who has asked by now."""
        self._accept()
        for connection in list(self._open):
            if self._answered(connection):
                self._open.remove(connection)
                connection.close()

    def close(self) -> None:
        self._listener.close()
        while self._open:
            self._open.popleft().close()

    def _accept(self) -> None:
        for _ in range(limits.MAX_HEALTH_CONNECTIONS):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody is waiting, or has hung up meanwhile
                return
            connection.setblocking(False)
            self._open.append(connection)
            if len(self._open) > limits.MAX_HEALTH_CONNECTIONS:
                self._open.popleft().close()

    def _answered(self, connection: socket.socket) -> bool:
        """Whether nothing more is to be expected of this connection."""
        try:
            request = connection.recv(MAX_REQUEST_BYTES)
            if request:
                connection.send(self._answer(request))
                connection.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _answer(self, request: bytes) -> bytes:
        match request.split(b" ", 2)[:2]:
            case [b"GET" | b"HEAD", b"/healthz"]:
                return _response("200 OK", "alive")
            case [b"GET" | b"HEAD", b"/readyz"]:
                if self._leaving():
                    return _response("503 Service Unavailable", "leaving")
                return _response("200 OK", "ready")
        return _response("404 Not Found", "here are /healthz and /readyz")


def _response(status: str, text: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text) + 1}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}\n".encode()
