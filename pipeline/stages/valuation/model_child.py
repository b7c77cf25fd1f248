"""The process in which a user's models are asked: it may wait, compute or end, and nothing waits with it.

Messages both ways are msgpack after their length in four bytes. At first a `Setup` comes in, and `Loading`s
go out, an empty one at last; then an `Asked` in is answered by a `Replied`, in their order.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from pipeline.config.valuation import Model
from pipeline.messages import Candle
from pipeline.process import end_with
from pipeline.valuation.model import PricingModel, ask
from pipeline.valuation.models import compile_models

Message = TypeVar("Message")
HEAD_BYTES = 4


class Setup(Struct, frozen=True, array_like=True):
    """What to load."""

    models: dict[str, Model]


class Loading(Struct, frozen=True, array_like=True):
    """`model` is loaded now, or `fault` says why it cannot be; "" for both: all are loaded."""

    model: str = ""
    fault: str = ""


class Asked(Struct, frozen=True, array_like=True):
    model: str
    mark: int
    bars: tuple[Candle, ...]


class Replied(Struct, frozen=True, array_like=True):
    """As `valuation.model.Answer`; `took_us` without what it waited for a processor."""

    price: int | None
    fault: str
    took_us: int


_encode = msgspec.msgpack.Encoder().encode


def framed(message: Struct) -> bytes:
    content = _encode(message)
    return len(content).to_bytes(HEAD_BYTES, "big") + content


def main(link_fd: int, parent: int) -> None:
    """Until the parent, the process `parent`, ends or closes the link."""
    end_with(parent, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # so that a KeyboardInterrupt is the user's own
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # where it is, before it is ended
    with socket.socket(fileno=link_fd) as link:
        link.setblocking(True)
        serve(link)


def serve(link: socket.socket) -> None:
    """Loads and answers until the other end closes."""
    stream = link.makefile("rb")
    setup = _received(stream.read, msgspec.msgpack.Decoder(Setup))
    if setup is None:
        return
    loaded: dict[str, PricingModel] = {}
    for name, model in sorted(setup.models.items()):
        link.sendall(framed(Loading(name)))
        try:
            loaded |= compile_models({name: model})
        except ValueError as error:
            link.sendall(framed(Loading(name, str(error))))
            return
    link.sendall(framed(Loading()))
    own_ns, decoder = _own_time(), msgspec.msgpack.Decoder(Asked)
    while (asked := _received(stream.read, decoder)) is not None:
        began_ns = own_ns()
        answer = ask(asked.model, loaded[asked.model], asked.mark, asked.bars)
        took_us = (own_ns() - began_ns) // 1000
        link.sendall(framed(Replied(answer.price, answer.fault, took_us)))


def _received(read: Callable[[int], bytes], decoder: msgspec.msgpack.Decoder[Message]) -> Message | None:
    head = read(HEAD_BYTES)
    return decoder.decode(read(int.from_bytes(head, "big"))) if len(head) == HEAD_BYTES else None


def _own_time() -> Callable[[], int]:
    """Nanoseconds without those in which this thread waited for a processor: others' load is no fault of a
    model's. Where the kernel does not tell them, all."""
    try:
        told = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        os.pread(told, 64, 0).split()[1]
    except (OSError, IndexError):
        return time.monotonic_ns

    def own_ns() -> int:
        waited: Any = os.pread(told, 64, 0).split()[1]
        return time.monotonic_ns() - int(waited)

    return own_ns
