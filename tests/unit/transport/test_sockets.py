"""Sockets over real ZeroMQ: where they lead when those they lead to have moved."""

from __future__ import annotations

import zmq

from pipeline.transport import wire
from pipeline.transport.members import FixedMembers
from pipeline.transport.outbox import Outbox, ToAsk
from pipeline.transport.sockets import Sockets

WITHIN_MS = 10_000


class MovingMembers(FixedMembers):
    def move(self, ordinal: int, where: str) -> None:
        self._endpoints[ordinal] = where


def asked(router: zmq.Socket[bytes]) -> bool:
    """Whether a question arrives here."""
    return bool(router.poll(WITHIN_MS)) and bool(router.recv_multipart())


def test_questions_follow_an_audit_that_moved() -> None:
    context = zmq.Context()
    routers = [context.socket(zmq.ROUTER) for _ in range(2)]
    ports = [router.bind_to_random_port("tcp://127.0.0.1") for router in routers]
    audits = MovingMembers({0: f"tcp://127.0.0.1:{ports[0]}"})
    sockets = Sockets("exec-0", 1, bind=None, audits=audits)
    outbox = Outbox()

    def ask(number: int) -> None:
        outbox.send(ToAsk(0), wire.Ask(number, "A"))
        sockets.carry_out(outbox.take())

    try:
        ask(1)
        assert asked(routers[0])
        audits.move(0, f"tcp://127.0.0.1:{ports[1]}")
        ask(2)
        assert asked(routers[1])
        audits.endpoints().clear()
        ask(3)
        assert asked(routers[1]), "who is not listed any more is still asked where it was"
        assert not routers[0].poll(0)
    finally:
        sockets.close()
        for router in routers:
            router.close(0)
        context.term()
