"""What exec knows of one key between two events: orders that rest and positions that are filled."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Order(Struct, frozen=True, array_like=True, gc=False):
    """An order that waits for the next candle, named by its event's key_seq and its leg's index;
    `quantity` (> 0) is what is left of it."""

    seq: int
    leg: int
    strategy: str
    side: int
    quantity: int
    intent: str


class Position(Struct, frozen=True, array_like=True, gc=False):
    """A strategy's filled position (signed, never 0) and what it cost (≥ 0); see `book`."""

    strategy: str
    quantity: int
    cost: int


class ExecState(Struct, frozen=True, array_like=True, gc=False):
    """One key. Orders in the order they came, positions in the order they were opened."""

    symbol: str
    orders: tuple[Order, ...] = ()
    positions: tuple[Position, ...] = ()

    def filled(self, strategy: str) -> int:
        """The signed position that `strategy` really holds."""
        for position in self.positions:
            if position.strategy == strategy:
                return position.quantity
        return 0


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(ExecState)


def encode_exec_state(state: ExecState) -> bytes:
    return _encode(state)


def decode_exec_state(data: bytes) -> ExecState:
    """Raises msgspec.ValidationError or DecodeError on foreign bytes."""
    return _decoder.decode(data)
