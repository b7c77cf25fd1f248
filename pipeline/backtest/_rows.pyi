from typing import Any

INTERFACE: int

def write(
    out: bytearray,
    columns: tuple[Any, ...],
    start: int,
    stop: int,
    tag: bytes,
    decision: bytes,
    fills: bytes,
    named: list[tuple[int, bytes, bytes]],
    /,
) -> int: ...
