"""The door of a socket that peers connect to: lets in who holds one of the keys, counts who does not.

ZeroMQ asks it about each peer by ZAP (rfc.zeromq.org/spec/27) within the process, after the peer has proved
its key; it answers from the loop that does the work, so no thread is needed. Who fails earlier (plain text,
no key, a key of another server) never gets as far as a question and is told of by the socket's monitor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.transport.curve import LinkKeys

log = logging.getLogger(__name__)

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ZAP_DOMAIN = b"ringline"
_VERSION = b"1.0"
_QUESTION_PARTS = 7
"""Version, request id, domain, address, identity, mechanism, and of CURVE one credential: the public key."""
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Guard:
    """Make it before the socket binds, `protect` the socket, `look` whenever one of `sockets` is readable."""

    def __init__(
        self,
        context: zmq.Context[Any],
        name: str,
        keys: LinkKeys,
        *,
        clock: Clock | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._keys = keys
        self._accepted = frozenset(key.raw_public for key in keys)
        self._clock = clock or SystemClock()
        self._on_failure = on_failure
        self._zap: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ZAP_ADDRESS)
        self._monitor: zmq.Socket[bytes] | None = None
        self._guarded: zmq.Socket[bytes] | None = None
        self._say_ns = 0
        self._unsaid = 0
        self.failures = 0
        """Handshakes that failed, for whatever reason."""

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Makes `socket` a CURVE server; before it binds."""
        socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys[0].secret)
        socket.setsockopt(zmq.HANDSHAKE_IVL, limits.LINK_HANDSHAKE_MS)
        self._guarded = socket
        self._monitor = socket.get_monitor_socket(_FAILED)

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        return [self._zap] if self._monitor is None else [self._zap, self._monitor]

    def look(self) -> None:
        """Answers what was asked and counts what failed, without waiting."""
        while int(self._zap.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._zap.send_multipart(self._answer(self._zap.recv_multipart()))
        monitor = self._monitor
        while monitor is not None and int(monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = parse_monitor_message(monitor.recv_multipart())
            if event["event"] != zmq.EVENT_MONITOR_STOPPED:
                self._failed()

    def _answer(self, parts: list[bytes]) -> list[bytes]:
        request = parts[1] if len(parts) > 1 else b""
        known = (
            len(parts) == _QUESTION_PARTS
            and parts[0] == _VERSION
            and parts[5] == b"CURVE"
            and parts[6] in self._accepted
        )
        status = (b"200", b"OK") if known else (b"400", b"unknown key")
        return [_VERSION, request, *status, b"", b""]

    def _failed(self) -> None:
        self.failures += 1
        self._unsaid += 1
        self._on_failure()
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._say_ns:
            return
        self._say_ns = now_ns + limits.HANDSHAKE_SAY_EVERY_S * NS_PER_S
        log.warning(
            "%s: %d peers without an accepted key were turned away (links.key_file names the keys)",
            self._name, self._unsaid,
        )  # fmt: skip
        self._unsaid = 0

    def close(self) -> None:
        if self._guarded is not None and not self._guarded.closed:
            self._guarded.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(0)
        self._zap.close(0)
