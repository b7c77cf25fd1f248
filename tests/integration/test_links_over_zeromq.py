"""What only real sockets can meet. What both networks can is in
tests/unit/transport/test_delivery_through_a_pipeline.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import zmq
from toy_pipeline import TIMING, World
from wires import ZeroMqWires

from pipeline.errors import MissingError
from pipeline.transport import wire
from pipeline.transport.sockets import Sockets


@pytest.fixture
def wires() -> Iterator[ZeroMqWires]:
    network = ZeroMqWires(TIMING)
    yield network
    network.close()


def test_garbage_from_a_stranger_is_counted_and_harms_nobody(wires: ZeroMqWires) -> None:
    world = World(wires=wires)
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 1000)
    stranger.connect(wires.where("agent-0"))
    frames = [b"", b"\x00", os.urandom(200), wire.encode_frame((1, 1), [wire.Ping(5)]), b"\x92\xc0\x90"]
    for frame in frames:
        stranger.send(frame)
    stranger.send_multipart([b"two", b"parts"])
    for n in range(100):
        world.post(f"k{n % 8}", b"%d" % n)
    world.settle()
    world.check()
    # Four frames that are none, and one message of two parts.
    world.until(lambda: wires.meter.frames >= 5, "all of it to be seen")
    stranger.close()
    context.term()
    assert wires.meter.frames == 5


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MissingError, match=f"agent-0: cannot listen on {where}: Address already in use"):
            Sockets("agent-0", 1, bind=where)
