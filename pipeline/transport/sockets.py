"""ZeroMQ sockets of one node: a ROUTER that upstream connects to, a DEALER for each link and question way.

Every session has a socket of its own, so that closing a link drops what was queued on it, and a silent
reconnect of ZeroMQ can never continue a session that the protocol has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import zmq

from pipeline import limits
from pipeline.errors import FrameError, MissingError
from pipeline.transport import wire
from pipeline.transport.curve import KeyTurns, LinkKeys
from pipeline.transport.guard import Guard
from pipeline.transport.members import FixedMembers, Members
from pipeline.transport.outbox import Act, Closed, Opened, Sent, ToAsk, ToDown, ToUp
from pipeline.transport.seldom_log import SeldomLog
from pipeline.transport.settings import Meter

log = logging.getLogger(__name__)

FROM_UP = 0
FROM_DOWN = 1
FROM_ASK = 2

Received = tuple[int, bytes | int, bytes]
"""(one of FROM_…, address or ordinal, frame)"""

_NOBODY = FixedMembers({})
_strange = SeldomLog(log, limits.STRANGE_SAY_EVERY_S)
"""A stranger can send as many frames as the network carries: each is counted, few are told."""
_UNHEARD_QUESTIONS = 5
"""Questions without any answer after which a way is dialled with the next key: a second, by default."""


def frame_of(data: bytes, meter: Meter) -> wire.Frame | None:
    """The frame in `data`; None, counted and logged, where it is none: a stranger's bytes end nothing."""
    try:
        return wire.decode_frame(data)
    except FrameError as error:
        meter.malformed(data)
        _strange.say("%s", error)
        return None


class Sockets:
    """Carries out a node's actions and yields what arrives."""

    def __init__(
        self,
        name: str,
        boot: int,
        *,
        bind: str | None,
        downstream: Members = _NOBODY,
        audits: Members = _NOBODY,
        keys: LinkKeys = (),
        on_stranger: Callable[[], None] = lambda: None,
    ) -> None:
        """With `keys` every link is encrypted and only peers that hold one are let in; `on_stranger` is
        called for each that is not. Raises MissingError when `bind` cannot be had.
        """
        self._name = name
        self._boot = boot
        self._downstream = downstream
        self._audits = audits
        self._context = zmq.Context()
        self._router: zmq.Socket[bytes] | None = None
        self._links: dict[ToDown, zmq.Socket[bytes]] = {}
        self._asks: dict[int, zmq.Socket[bytes]] = {}
        self._asked_at: dict[int, str] = {}
        """Where the way of each audit leads."""
        self.poller = zmq.Poller()
        self._kinds: dict[zmq.Socket[bytes], tuple[int, int]] = {}
        self._watch: Callable[[int], None] | None = None
        self._unwatch: Callable[[int], object] | None = None
        self._turns = KeyTurns(keys)
        self._keyed = bool(keys)
        self._unheard: dict[int, int] = {}
        """Questions to each audit since its last answer."""
        self._guard: Guard | None = None
        if keys and bind is not None:
            self._guard = Guard(self._context, name, keys, on_failure=on_stranger)
        if bind is not None:
            self._router = self._bind(bind)

    def watch(self, watch: Callable[[int], None], unwatch: Callable[[int], object]) -> None:
        """Has an event loop told of every descriptor, before it can be read and before it is closed.

        The descriptors are edge-triggered: each turn must read all sockets dry, also after sends.
        """
        self._watch, self._unwatch = watch, unwatch
        for socket in (*self._kinds, *(self._guard.sockets if self._guard else ())):
            watch(_descriptor(socket))

    def watch_descriptor(self, descriptor: int) -> None:
        """Has `poll` return also when this can be read."""
        self.poller.register(descriptor, zmq.POLLIN)  # by default also when it can be written: always

    @property
    def strangers(self) -> int:
        """Handshakes that failed."""
        return self._guard.failures if self._guard else 0

    def _bind(self, address: str) -> zmq.Socket[bytes]:
        router = self._socket(zmq.ROUTER, FROM_UP, 0)
        if self._guard is not None:
            self._guard.protect(router)
            for socket in self._guard.sockets:
                self.poller.register(socket, zmq.POLLIN)
        try:
            router.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise MissingError(f"{self._name}: cannot listen on {address}: {error.strerror}") from None
        return router

    def _socket(self, kind: int, source: int, ordinal: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        # Credit bounds what is queued; ZeroMQ's own marks would drop (ROUTER) or block (DEALER) in silence.
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.MAX_FRAME_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self.poller.register(socket, zmq.POLLIN)
        self._kinds[socket] = (source, ordinal)
        if self._watch is not None:
            self._watch(_descriptor(socket))
        return socket

    def _dial(self, socket: zmq.Socket[bytes], peer: tuple[int, int], where: str) -> None:
        key = self._turns.next(peer)
        if key is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, key.public)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, key.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, key.secret)
        socket.connect(where)

    # ---- out

    def carry_out(self, acts: list[Act]) -> None:
        for act in acts:
            if type(act) is Sent:
                self._send(act)
            elif type(act) is Opened:
                self._open(act.target)
            elif type(act) is Closed:
                self._drop(self._links.pop(act.target, None))

    def _send(self, act: Sent) -> None:
        target = act.target
        if type(target) is ToUp:
            if self._router is not None:
                self._router.send(target.address, zmq.SNDMORE)
                self._router.send(act.data)
        elif type(target) is ToDown:
            link = self._links.get(target)
            if link is not None:
                link.send(act.data)
        elif type(target) is ToAsk:
            way = self._ask_way(target.ordinal)
            if way is not None:
                way.send(act.data)

    def _open(self, target: ToDown) -> None:
        where = self._downstream.endpoints().get(target.ordinal)
        if where is None:
            return
        link = self._socket(zmq.DEALER, FROM_DOWN, target.ordinal)
        boot, number = target.session
        link.setsockopt(zmq.ROUTING_ID, f"{self._name}/{boot:x}/{number:x}".encode())
        self._dial(link, (FROM_DOWN, target.ordinal), where)
        self._links[target] = link

    def _ask_way(self, ordinal: int) -> zmq.Socket[bytes] | None:
        peer = (FROM_ASK, ordinal)
        asked = self._unheard[ordinal] = self._unheard.get(ordinal, 0) + 1
        way = self._asks.get(ordinal)
        where = self._audits.endpoints().get(ordinal)
        if way is not None:
            # A question has no session that would end: an audit that moved would never be asked again.
            moved = where is not None and where != self._asked_at[ordinal]
            mute = asked > _UNHEARD_QUESTIONS and self._turns.is_mute(peer)
            if not moved and not mute:
                return way
            self._drop(self._asks.pop(ordinal))
            self._unheard[ordinal] = 1
        if where is None:
            return None
        way = self._socket(zmq.DEALER, FROM_ASK, ordinal)
        way.setsockopt(zmq.ROUTING_ID, f"{self._name}/{self._boot:x}/ask".encode())
        self._dial(way, peer, where)
        self._asks[ordinal] = way
        self._asked_at[ordinal] = where
        return way

    def _drop(self, socket: zmq.Socket[bytes] | None) -> None:
        if socket is not None:
            if self._unwatch is not None:
                self._unwatch(_descriptor(socket))
            self.poller.unregister(socket)
            del self._kinds[socket]
            socket.close(0)

    # ---- in

    def poll(self, timeout_ms: int) -> bool:
        """Waits until something can be received, or a registered file descriptor is readable."""
        return bool(self.poller.poll(timeout_ms))

    def receive(self, most: int = 1000) -> Iterator[Received]:
        """What has arrived, without waiting; at most `most` frames a socket, so that nobody starves."""
        if self._guard is not None:
            self._guard.look()
        for socket, (source, ordinal) in list(self._kinds.items()):
            for _ in range(most):
                if socket.closed or not int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    break
                parts = socket.recv_multipart(zmq.NOBLOCK)
                if source == FROM_UP:
                    # Ours have one part behind the address; nothing is what stands for any other number.
                    yield source, parts[0], parts[1] if len(parts) == 2 else b""
                elif len(parts) != 1:
                    yield source, ordinal, b""
                else:
                    if self._keyed:
                        self._heard(source, ordinal)
                    yield source, ordinal, parts[0]

    def _heard(self, source: int, ordinal: int) -> None:
        self._turns.heard((source, ordinal))
        if source == FROM_ASK:
            self._unheard[ordinal] = 0

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()
        for socket in list(self._kinds):
            self._drop(socket)
        self._context.term()


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return int(socket.getsockopt(zmq.FD))
